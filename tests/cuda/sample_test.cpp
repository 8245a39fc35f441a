// sample_token against the host's Sampler, token after token.
#include "infer/sampler.h"

#include <cmath>

#include "cuda/sample_ops.h"
#include "device_array.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

// Logits of a token, all of a kind that makes samplers work hard.
enum class Logits { normal, peaked, few_values, equal, clustered, descending };

std::vector<float> make_logits(Logits kind, int n_vocab, Random& random) {
  std::vector<float> out(static_cast<std::size_t>(n_vocab));
  for (std::size_t i = 0; i < out.size(); ++i) switch (kind) {
      case Logits::normal:
        out[i] = 3 * random.normal();
        break;
      case Logits::peaked:
        out[i] = random.integer(0, 2000) == 0 ? 10 + 3 * random.normal() : -5 + random.normal();
        break;
      case Logits::few_values:
        out[i] = static_cast<float>(random.integer(-2, 2));
        break;
      case Logits::equal:
        out[i] = 0;
        break;
      case Logits::clustered:  // the likeliest side by side, so that they share groups
        out[i] = (i % 32768) / 64 == 3 ? 5 + random.normal() : -random.uniform();
        break;
      case Logits::descending:
        out[i] = -1e-3f * static_cast<float>(i);
        break;
    }
  return out;
}

// A sequence on the device, with the logits given for each token.
class DeviceSampler {
 public:
  DeviceSampler(const SamplerOptions& options,
                const CommonChain& chain,
                const std::vector<int>& history,
                int n_vocab,
                int n_ctx)
      : n_vocab_(static_cast<std::size_t>(n_vocab)),
        logits_(n_vocab_),
        bias_(n_vocab_),
        counts_(n_vocab_),
        keys_(cuda::kSampleGroups),
        ids_(cuda::kSampleGroups),
        state_(1),
        tokens_(static_cast<std::size_t>(n_ctx)),
        position_(1),
        ring_(cuda::kSampleRing),
        buffers_{.logits = logits_.data(),
                 .bias = bias_.data(),
                 .counts = counts_.data(),
                 .keys = keys_.data(),
                 .ids = ids_.data(),
                 .state = state_.data(),
                 .tokens = tokens_.data(),
                 .position = position_.data(),
                 .ring = ring_.data(),
                 .n_vocab = n_vocab,
                 .n_ctx = n_ctx} {
    std::vector<double> bias(n_vocab_, 0.0);
    for (const LogitBias& b : options.logit_bias) bias[static_cast<std::size_t>(b.id)] += b.bias;
    bias_.write(bias);
    tokens_.write(history);
    cuda::begin_sampling(buffers_, chain, sequence_, static_cast<int>(history.size()),
                         test_stream().get());
  }

  cuda::SampledToken next(const std::vector<float>& logits) {
    logits_.write(logits);
    cuda::sample_token(buffers_, test_stream().get());
    test_stream().synchronize();
    const cuda::SampledToken token = ring_.span()[sequence_ % cuda::kSampleRing];
    REQUIRE(token.sequence == sequence_);
    ++sequence_;
    return token;
  }
  // Of the sequence, as the device has it.
  std::vector<int> tokens() const { return tokens_.read(); }
  int position() const { return position_.read()[0]; }
  void check_guards() const { (void)keys_.read(), (void)ids_.read(), (void)counts_.read(); }

 private:
  std::size_t n_vocab_;
  DeviceArray<float> logits_;
  DeviceArray<double> bias_;
  DeviceArray<int> counts_;
  DeviceArray<std::uint64_t> keys_;
  DeviceArray<int> ids_;
  DeviceArray<cuda::SampleState> state_;
  DeviceArray<int> tokens_, position_;
  cuda::PinnedBuffer<cuda::SampledToken> ring_;
  cuda::SampleBuffers buffers_;
  unsigned sequence_ = 77;
};

// Both draw n_tokens, each going on from the host's choice.
void check_sampler(
    const SamplerOptions& options, Logits kind, int n_vocab, int n_tokens, std::uint64_t seed) {
  CAPTURE(static_cast<int>(kind), n_vocab, options.top_k, options.top_p, options.min_p,
          options.temperature, options.repeat_penalty, options.frequency_penalty,
          options.presence_penalty, options.repeat_last_n, options.min_keep,
          options.logit_bias.size(), options.seed, seed);
  const std::optional<CommonChain> chain = common_chain(options, n_vocab);
  REQUIRE(chain.has_value());
  REQUIRE(chain->top_k <= cuda::kMostTopK);
  Random random(seed);
  std::vector<int> history;
  for (int i = random.integer(1, 20); i > 0; --i)
    history.push_back(random.integer(0, std::min(n_vocab, 50) - 1));
  const int n_before = static_cast<int>(history.size());
  Sampler host(options);
  // The last token has no room left in the sequence.
  DeviceSampler device(options, *chain, history, n_vocab, n_before + n_tokens - 1);
  for (int i = 0; i < n_tokens; ++i) {
    const std::vector<float> logits = make_logits(kind, n_vocab, random);
    const cuda::SampledToken got = device.next(logits);
    const int want = host.sample(logits, history);
    CAPTURE(i);
    REQUIRE(got.token == want);
    REQUIRE(got.not_finite_id == -1);
    history.push_back(want);
    REQUIRE(device.position() == static_cast<int>(history.size()) - 1);
  }
  history.pop_back();
  CHECK(device.tokens() == history);
  device.check_guards();
}

SamplerOptions random_options(Random& random, int n_vocab) {
  const auto one_of = [&](std::initializer_list<double> values) {
    return values.begin()[random.integer(0, static_cast<int>(values.size()) - 1)];
  };
  SamplerOptions o;
  o.seed = static_cast<std::uint64_t>(random.integer(0, 1 << 30));
  o.temperature = one_of({0, 1e-12, 0.3, 0.8, 1, 2.5, 100});
  o.top_k = static_cast<int>(one_of({1, 2, 7, 40, 100, 1024}));
  if (n_vocab <= cuda::kMostTopK && random.integer(0, 1) == 0) o.top_k = 0;
  o.top_p = one_of({0, 0.1, 0.5, 0.9, 0.95, 1});
  o.min_p = one_of({0, 0.01, 0.05, 0.5, 1});
  o.min_keep = static_cast<int>(one_of({0, 0, 1, 3, 2000}));
  o.repeat_last_n = static_cast<int>(one_of({-1, 0, 1, 5, 64}));
  o.repeat_penalty = one_of({1, 1, 1.1, 0.5, 3});
  o.frequency_penalty = one_of({0, 0, 0.7, -0.3});
  o.presence_penalty = one_of({0, 0, 1.3, -2});
  for (int i = static_cast<int>(one_of({0, 0, 1, 5})); i > 0; --i)
    o.logit_bias.push_back(
        {random.integer(0, n_vocab - 1), one_of({-INFINITY, 5, -3.3, 1e6, -1e6})});
  return o;
}

void check_random_cases(int n_vocab, int n_cases, int n_tokens, std::uint64_t seed) {
  Random random(seed);
  for (int i = 0; i < n_cases; ++i) {
    SamplerOptions options = random_options(random, n_vocab);
    // The host reports it when nothing is left to choose.
    if (!common_chain(options, n_vocab)) options.logit_bias.clear();
    check_sampler(options, static_cast<Logits>(i % 6), n_vocab, n_tokens,
                  seed + static_cast<std::uint64_t>(i));
  }
}

}  // namespace

TEST_CASE("sample: small vocabularies, any options", "[cuda][ops][sample]") {
  const int n_vocab = GENERATE(1, 2, 3, 8, 33, 257, 1000);
  check_random_cases(n_vocab, 60, 6, 100 + static_cast<std::uint64_t>(n_vocab));
}

TEST_CASE("sample: an odd vocabulary of more than one round", "[cuda][ops][sample]") {
  check_random_cases(32769 + 4, 40, 3, 7);
}

TEST_CASE("sample: real vocabularies", "[cuda][ops][sample]") {
  check_random_cases(32000, 24, 3, 8);
  check_random_cases(151936, 24, 2, 9);
}

TEST_CASE("sample: each count of candidates with each kind of logits",
          "[cuda][ops][sample][sanitize]") {
  const int top_k = GENERATE(1, 40, 1024);
  const int kind = GENERATE(range(0, 6));
  const int n_vocab = GENERATE(5001, 151936);
  if (is_thin() && (kind > 1 || n_vocab != 5001)) return;
  check_sampler({.temperature = 1.5, .top_k = top_k, .top_p = 0.99, .min_p = 0, .seed = 5},
                static_cast<Logits>(kind), n_vocab, 3, 11);
}

TEST_CASE("sample: the defaults over many tokens", "[cuda][ops][sample][sanitize]") {
  const int n_tokens = is_thin() ? 20 : 200;
  check_sampler({.seed = 1}, Logits::normal, 500, n_tokens, 12);
  check_sampler({.temperature = 0}, Logits::normal, 500, n_tokens, 14);
  check_sampler({.repeat_penalty = 1.2, .repeat_last_n = 20, .frequency_penalty = 0.1, .seed = 1},
                Logits::few_values, 60, n_tokens, 13);
}

TEST_CASE("sample: logits that are not finite are reported", "[cuda][ops][sample]") {
  const float bad = GENERATE(NAN, INFINITY, -INFINITY);
  const int n_vocab = 40000;
  const SamplerOptions options{.temperature = GENERATE(0.0, 0.8)};
  const CommonChain chain = *common_chain(options, n_vocab);
  DeviceSampler device(options, chain, {1, 2}, n_vocab, 10);
  std::vector<float> logits(static_cast<std::size_t>(n_vocab), 0.5f);
  CHECK(device.next(logits).not_finite_id == -1);
  logits[39000] = bad, logits[38000] = bad;
  const cuda::SampledToken token = device.next(logits);
  CHECK(token.not_finite_id == 38000);
  CHECK((std::isnan(bad) ? std::isnan(token.not_finite) : token.not_finite == bad));
  logits[39000] = logits[38000] = 0;
  CHECK(device.next(logits).not_finite_id == -1);
}

}  // namespace haikuda::test
