// Preloaded into the executable: PCRE2's match fails in a way that it cannot, for the test of exit
// code 1.
extern "C" int pcre2_match_8(...) {
  constexpr int kInternalError = -44;  // PCRE2_ERROR_INTERNAL
  return kInternalError;
}
