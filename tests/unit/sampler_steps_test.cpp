// Each sampler against its definition, on cases small enough to work out by hand.
#include <cmath>
#include <numbers>
#include <vector>

#include "infer/sampler_candidates.h"
#include "infer/sampler_dry.h"
#include "infer/sampler_mirostat.h"
#include "infer/sampler_penalties.h"
#include "infer/sampler_temperature.h"
#include "infer/sampler_truncation.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

Candidates of_probabilities(const std::vector<double>& probabilities) {
  Candidates out;
  for (const double p : probabilities)
    out.push_back({static_cast<int>(out.size()), std::log(p) + 3});
  return out;
}

Candidates of_logits(const std::vector<double>& logits) {
  Candidates out;
  for (const double l : logits) out.push_back({static_cast<int>(out.size()), l});
  return out;
}

std::vector<int> ids(const Candidates& candidates) {
  std::vector<int> out;
  for (const Candidate& c : candidates) out.push_back(c.id);
  return out;
}

std::vector<double> logits(const Candidates& candidates) {
  std::vector<double> out;
  for (const Candidate& c : candidates) out.push_back(c.logit);
  return out;
}

using Ids = std::vector<int>;
using Logits = std::vector<double>;
const std::vector<double> kFour = {0.05, 0.5, 0.15, 0.3};

TEST_CASE("softmax: probabilities, surprise and entropy", "[sampler]") {
  const Candidates c = of_probabilities({0.5, 0.25, 0.125, 0.125});
  const Softmax softmax(c);
  REQUIRE(softmax.probability(c[1]) == Approx(0.25));
  REQUIRE(softmax.log_probability(c[2]) == Approx(std::log(0.125)));
  REQUIRE(softmax.surprise_bits(c[3]) == Approx(3));
  REQUIRE(softmax.entropy(c) == Approx(1.75 * std::numbers::ln2));
}

TEST_CASE("draw: each token has its share of [0, 1), in order of id", "[sampler]") {
  const Candidates c = of_probabilities({0.25, 1e-300, 0.5, 0.25});
  REQUIRE(draw_candidate(c, 0).id == 0);
  REQUIRE(draw_candidate(c, 0.2499).id == 0);
  REQUIRE(draw_candidate(c, 0.2501).id == 2);
  REQUIRE(draw_candidate(c, 0.7499).id == 2);
  REQUIRE(draw_candidate(c, 0.7501).id == 3);
  REQUIRE(draw_candidate(c, 1 - 0x1p-53).id == 3);
  // Rounding leaves something over after the last of them; the one of weight 0 does not get it.
  const double tiny = std::log(1.2 * 0x1p-53);
  REQUIRE(draw_candidate(of_logits({0, tiny, tiny, tiny, tiny, -1e30}), 1 - 0x1p-53).id == 4);
}

TEST_CASE("top-k: the k likeliest, the lowest ids of equals", "[sampler]") {
  const auto kept = [](const std::vector<double>& l, int k) {
    Candidates c = of_logits(l);
    keep_top_k(c, k);
    return ids(c);
  };
  REQUIRE(kept({1, 3, 2, 0}, 2) == Ids{1, 2});
  REQUIRE(kept({1, 3, 3, 3}, 2) == Ids{1, 2});
  REQUIRE(kept({1, 3, 2, 0}, 1) == Ids{1});
  REQUIRE(kept({1, 3, 2, 0}, 4) == Ids{0, 1, 2, 3});
  REQUIRE(kept({1, 3, 2, 0}, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept({1, 3, 2, 0}, -1) == Ids{0, 1, 2, 3});
  REQUIRE(kept(std::vector<double>(2000, 1), 700).back() == 699);
}

TEST_CASE("top-p: the smallest set that reaches p", "[sampler]") {
  const auto kept = [](double p, int min_keep) {
    Candidates c = of_probabilities(kFour);
    keep_top_p(c, p, min_keep);
    return ids(c);
  };
  REQUIRE(kept(0, 0) == Ids{1});
  REQUIRE(kept(0.49, 0) == Ids{1});
  REQUIRE(kept(0.79, 0) == Ids{1, 3});
  REQUIRE(kept(0.81, 0) == Ids{1, 2, 3});
  REQUIRE(kept(0.96, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(1, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(0.1, 2) == Ids{1, 3});
  REQUIRE(kept(0.1, 9) == Ids{0, 1, 2, 3});
}

TEST_CASE("top-p: takes as many of very many as it needs", "[sampler]") {
  const int n_needed = GENERATE(1, 5, 64, 65, 255, 256, 257, 1000, 4095, 9000, 9999);
  CAPTURE(n_needed);
  Candidates c = of_logits(std::vector<double>(10000, 0.5));
  keep_top_p(c, (n_needed - 0.5) / 10000, 0);
  REQUIRE(c.size() == static_cast<std::size_t>(n_needed));
  REQUIRE(c.back().id == n_needed - 1);  // equals by id
  Candidates at_least = of_logits(std::vector<double>(10000, 0.5));
  keep_top_p(at_least, 0, n_needed);
  REQUIRE(at_least.size() == static_cast<std::size_t>(n_needed));
}

TEST_CASE("min-p: those at least p times as probable as the likeliest", "[sampler]") {
  const auto kept = [](double p, int min_keep) {
    Candidates c = of_probabilities(kFour);
    keep_min_p(c, p, min_keep);
    return ids(c);
  };
  REQUIRE(kept(0, 0).size() == 4);
  REQUIRE(kept(0.09, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(0.11, 0) == Ids{1, 2, 3});
  REQUIRE(kept(0.31, 0) == Ids{1, 3});
  REQUIRE(kept(1, 0) == Ids{1});
  REQUIRE(kept(1, 3) == Ids{1, 2, 3});
  REQUIRE(kept(0.11, 2) == Ids{1, 2, 3});
  Candidates equals = of_logits({2, 2, 1});
  keep_min_p(equals, 1, 0);
  REQUIRE(ids(equals) == Ids{0, 1});
}

TEST_CASE("typical: those whose surprise is nearest to the entropy", "[sampler]") {
  // Entropy 1.142 nats; surprises 2.996, 0.693, 1.897, 1.204, so the order is 3, 1, 2, 0.
  const auto kept = [](double p, int min_keep) {
    Candidates c = of_probabilities(kFour);
    keep_typical(c, p, min_keep);
    return ids(c);
  };
  REQUIRE(kept(0, 0) == Ids{3});
  REQUIRE(kept(0.29, 0) == Ids{3});
  REQUIRE(kept(0.31, 0) == Ids{1, 3});
  REQUIRE(kept(0.81, 0) == Ids{1, 2, 3});
  REQUIRE(kept(0.96, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(1, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(0, 3) == Ids{1, 2, 3});
}

TEST_CASE("top-n-sigma: those within n standard deviations of the greatest logit", "[sampler]") {
  const auto kept = [](double n) {
    Candidates c = of_logits({0, 2, 4, 6, 8});  // standard deviation sqrt(8) = 2.83
    keep_top_n_sigma(c, n);
    return ids(c);
  };
  REQUIRE(kept(-1).size() == 5);
  REQUIRE(kept(0).size() == 5);
  REQUIRE(kept(0.5) == Ids{4});
  REQUIRE(kept(1) == Ids{3, 4});
  REQUIRE(kept(1.5) == Ids{2, 3, 4});
  Candidates equals = of_logits({1, 1});
  keep_top_n_sigma(equals, 1);
  REQUIRE(equals.size() == 2);
}

TEST_CASE("xtc: drops the top choices but the least likely of them", "[sampler]") {
  const auto kept = [](const std::vector<double>& p, double threshold, int min_keep) {
    Candidates c = of_probabilities(p);
    drop_top_choices(c, threshold, min_keep);
    return ids(c);
  };
  REQUIRE(kept(kFour, 0.1, 0) == Ids{0, 2});
  REQUIRE(kept(kFour, 0.2, 0) == Ids{0, 2, 3});
  REQUIRE(kept(kFour, 0.4, 0) == Ids{0, 1, 2, 3});  // one top choice: it stays
  REQUIRE(kept(kFour, 0.6, 0) == Ids{0, 1, 2, 3});
  REQUIRE(kept(kFour, 0, 0) == Ids{0});
  REQUIRE(kept({0.4, 0.4, 0.2}, 0.3, 0) == Ids{1, 2});  // of equals the last stays
  REQUIRE(kept(kFour, 0.1, 2) == Ids{0, 2});
  REQUIRE(kept(kFour, 0.1, 3) == Ids{0, 1, 2, 3});
  REQUIRE(kept({1}, 0.1, 0) == Ids{0});
}

TEST_CASE("temperature: divides the logits; dynamic: by entropy between low and high",
          "[sampler]") {
  Candidates c = of_logits({1, -2});
  apply_temperature(c, 0.5);
  REQUIRE(logits(c) == Logits{2, -4});
  apply_temperature(c, 0);
  REQUIRE(ids(c) == Ids{0});

  const Candidates flat = of_probabilities({0.25, 0.25, 0.25, 0.25});
  const Candidates sure = of_logits({1000, 0, 0, 0});
  const Candidates half =
      of_probabilities({0.5, 0.5, 1e-300, 1e-300});  // entropy: half of the greatest
  REQUIRE(dynamic_temperature(flat, 0.8, 0.5, 1) == Approx(1.3));
  REQUIRE(dynamic_temperature(sure, 0.8, 0.5, 1) == Approx(0.3));
  REQUIRE(dynamic_temperature(half, 0.8, 0.5, 1) == Approx(0.8));
  REQUIRE(dynamic_temperature(half, 0.8, 0.5, 2) == Approx(0.3 + 0.25));
  REQUIRE(dynamic_temperature(half, 0.8, 0.5, 0) == Approx(1.3));
  REQUIRE(dynamic_temperature(sure, 0.3, 0.5, 1) == Approx(0).margin(1e-12));  // not below 0
  REQUIRE(dynamic_temperature(of_logits({3}), 0.8, 0.5, 1) == 1);
}

TEST_CASE("penalties: repeat by sign, frequency by count, presence once", "[sampler]") {
  const Ids recent = {1, 1, 1, 2, 99, -4};  // 99 and -4: not in the vocabulary
  const auto changed = [&](double repeat, double frequency, double presence) {
    Candidates c = of_logits({4, 4, -4});
    apply_penalties(c, recent, repeat, frequency, presence);
    return logits(c);
  };
  REQUIRE(changed(2, 0, 0) == Logits{4, 2, -8});
  REQUIRE(changed(1, 0.5, 0) == Logits{4, 2.5, -4.5});
  REQUIRE(changed(1, 0, 0.5) == Logits{4, 3.5, -4.5});
  REQUIRE(changed(2, 0.5, 0.25) == Logits{4, 0.25, -8.75});
  REQUIRE(changed(0.5, 0, -1) == Logits{4, 9, -1});
}

TEST_CASE("last tokens: n, fewer, all or none", "[sampler]") {
  const Ids history = {1, 2, 3};
  REQUIRE(last_tokens(history, 2).front() == 2);
  REQUIRE(last_tokens(history, 2).size() == 2);
  REQUIRE(last_tokens(history, 9).size() == 3);
  REQUIRE(last_tokens(history, -1).size() == 3);
  REQUIRE(last_tokens(history, 0).empty());
}

// What DRY takes from the logits of tokens 0 to 5, with multiplier 1 and base 2.
Logits dry_penalties(const Ids& history,
                     const std::vector<Ids>& breakers = {},
                     int allowed = 2,
                     int last_n = -1) {
  const DryPenalty dry({.dry_multiplier = 1,
                        .dry_base = 2,
                        .dry_allowed_length = allowed,
                        .dry_penalty_last_n = last_n,
                        .dry_breakers = breakers});
  Candidates c = of_logits({0, 0, 0, 0, 0, 0});
  dry.apply(c, history);
  Logits out;
  for (const Candidate& x : c) out.push_back(0 - x.logit);
  return out;
}

TEST_CASE("dry: the token that would go on with a repetition pays by its length", "[sampler]") {
  REQUIRE(dry_penalties({1, 2, 3, 1, 2}) == Logits{0, 0, 0, 1, 0, 0});        // 1 2 -> 3
  REQUIRE(dry_penalties({1, 2, 3, 4, 1, 2, 3}) == Logits{0, 0, 0, 0, 2, 0});  // 1 2 3 -> 4
  REQUIRE(dry_penalties({2, 3, 1, 3}) == Logits{0, 0, 0, 0, 0, 0});           // 3 -> 1: too short
  REQUIRE(dry_penalties({2, 3, 1, 3}, {}, 1) == Logits{0, 1, 0, 0, 0, 0});    // allowed 1
  REQUIRE(dry_penalties({1, 2, 3, 0, 1, 2, 4, 1, 2}) == Logits{0, 0, 0, 1, 1, 0});
  REQUIRE(dry_penalties({0, 1, 2, 3, 1, 2, 3, 0, 1, 2}) ==
          Logits{0, 0, 0, 2, 0, 0});                                    // the longest counts
  REQUIRE(dry_penalties({5, 5, 5, 5, 5}) == Logits{0, 0, 0, 0, 0, 4});  // overlaps itself
  REQUIRE(dry_penalties({}) == Logits{0, 0, 0, 0, 0, 0});
  REQUIRE(dry_penalties({1, 2, 77, 1, 2}) == Logits{0, 0, 0, 0, 0, 0});  // 77 is no candidate
}

TEST_CASE("dry: the example of llama.cpp's source", "[sampler]") {
  // a b c c b c y a b c, with y = 0: c after "a b c" (3), b after "c" (1), y after "b c" (2).
  REQUIRE(dry_penalties({1, 2, 3, 3, 2, 3, 0, 1, 2, 3}, {}, 1) == Logits{2, 0, 1, 4, 0, 0});
}

TEST_CASE("dry: looks back on as many tokens as it is told", "[sampler]") {
  const Ids history = {1, 2, 3, 0, 0, 1, 2};
  REQUIRE(dry_penalties(history, {}, 2, 7)[3] == 1);
  REQUIRE(dry_penalties(history, {}, 2, 6)[3] == 0);
  REQUIRE(dry_penalties(history, {}, 2, 2)[3] == 0);
}

TEST_CASE("dry: no repetition reaches across a breaker", "[sampler]") {
  const Ids history = {1, 2, 3, 4, 1, 2, 3};
  REQUIRE(dry_penalties(history, {{1}})[4] == 1);  // 2 3 are left
  REQUIRE(dry_penalties(history, {{2}})[4] == 0);  // 3 alone
  REQUIRE(dry_penalties(history, {{3}})[4] == 0);
  REQUIRE(dry_penalties(history, {{4}})[4] == 0);     // the token that would come is a breaker
  REQUIRE(dry_penalties(history, {{1, 2}})[4] == 0);  // a breaker of two tokens
  REQUIRE(dry_penalties(history, {{1, 3}})[4] == 2);  // which does not occur
  REQUIRE(dry_penalties(history, {{3, 4}})[4] ==
          2);  // begun, not complete; the longer 4 is no breaker
  REQUIRE(dry_penalties(history, {{4}, {4, 1}, {5}}, 1)[4] == 0);
  REQUIRE(dry_penalties(history, {{0}, {5}})[4] == 2);
}

TEST_CASE("dry: a very long repetition costs a finite amount", "[sampler]") {
  const Logits penalties = dry_penalties(Ids(5000, 1));
  REQUIRE(penalties[1] > 1e38);
  REQUIRE(std::isfinite(penalties[1]));
}

TEST_CASE("mirostat 1: as many as the Zipf law of the likeliest asks for", "[sampler]") {
  // p(i) proportional to 1 / (i + 1)^1.2: the fit is exact, so that k follows from the paper's
  // formula.
  const int n = 1000;
  const double s = 1.2, mu = 5;
  Candidates c;
  for (int i = 0; i < n; ++i) c.push_back({i, -s * std::log(i + 1.0)});
  keep_mirostat_1(c, mu, n);
  const double k = std::pow((s - 1) * std::exp2(mu) / (1 - std::pow(n, 1 - s)), 1 / s);
  REQUIRE(c.size() == static_cast<std::size_t>(k));
  REQUIRE(c.back().id == static_cast<int>(k) - 1);
}

TEST_CASE("mirostat 1: keeps one at least and all at most", "[sampler]") {
  const auto n_kept = [](const Logits& l, double mu) {
    Candidates c = of_logits(l);
    keep_mirostat_1(c, mu, static_cast<int>(l.size()));
    return c.size();
  };
  REQUIRE(n_kept({3, 2, 1}, -50) == 1);
  REQUIRE(n_kept({3, 2, 1}, 50) == 3);
  REQUIRE(n_kept({3, 2, 1}, 1e9) == 3);
  REQUIRE(n_kept({3}, 1) == 1);
  REQUIRE(n_kept({1, 1, 1, 1}, 10) == 4);  // exponent 0
  REQUIRE(n_kept({1, 1, 1, 1}, -10) == 1);
  REQUIRE(n_kept({std::log(2.0), 0}, 0.5) == 2);  // exponent 1 exactly: k = 2^0.5 / log 2
  Candidates exponent_1;
  for (int i = 0; i < 500; ++i) exponent_1.push_back({i, -std::log(i + 1.0)});
  keep_mirostat_1(exponent_1, 6, 500);
  REQUIRE(static_cast<double>(exponent_1.size()) == Approx(64 / std::log(500)).margin(1));
}

TEST_CASE("mirostat 2: those whose surprise is at most mu, the likeliest in any case",
          "[sampler]") {
  const auto kept = [](double mu) {
    Candidates c = of_probabilities({0.125, 0.5, 0.25, 0.125});
    keep_mirostat_2(c, mu);
    return ids(c);
  };
  REQUIRE(kept(0.9) == Ids{1});
  REQUIRE(kept(-7) == Ids{1});
  REQUIRE(kept(1.1) == Ids{1});
  REQUIRE(kept(2.1) == Ids{1, 2});
  REQUIRE(kept(3.1) == Ids{0, 1, 2, 3});
  REQUIRE(next_mu(10, 7, 5, 0.1) == Approx(9.8));
}

}  // namespace
}  // namespace haikuda::test
