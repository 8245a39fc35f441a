#include "infer/sampler_logprobs.h"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

TEST_CASE("logprobs: those of the softmax, the likeliest first, the lowest id of equals",
          "[sampler]") {
  const std::vector<float> logits = {std::log(1.0f), std::log(4.0f), std::log(1.0f),
                                     std::log(2.0f)};
  const auto top = top_logprobs(logits, 3);
  REQUIRE(top.size() == 3);
  REQUIRE((top[0].id == 1 && top[1].id == 3 && top[2].id == 0));
  REQUIRE(top[0].logprob == Approx(std::log(0.5)));
  REQUIRE(top[2].logprob == Approx(std::log(0.125)));
  REQUIRE(logprob(logits, 2) == Approx(std::log(0.125)));
  REQUIRE(top_logprobs(logits, 0).empty());
  REQUIRE(top_logprobs(logits, -1).empty());
  REQUIRE(top_logprobs(logits, 99).size() == 4);
  REQUIRE_THROWS(logprob(logits, 4));
  REQUIRE_THROWS(logprob(logits, -1));
}

TEST_CASE("logprobs: sum to one and agree with each other over a large vocabulary", "[sampler]") {
  const auto logits = random_normal(20000, 5, 4);
  const auto top = top_logprobs(logits, 20000);
  double sum = 0;
  for (const TokenLogprob& t : top) sum += std::exp(t.logprob);
  REQUIRE(sum == Approx(1).epsilon(1e-12));
  REQUIRE(logprob(logits, top[77].id) == top[77].logprob);
}

TEST_CASE("logprobs: exact where a float softmax would underflow or overflow", "[sampler]") {
  REQUIRE(logprob(std::vector<float>{1000, 0}, 0) == 0);
  REQUIRE(logprob(std::vector<float>{1000, 0}, 1) == -1000);
  REQUIRE(logprob(std::vector<float>{-1000, -1000}, 1) == Approx(std::log(0.5)));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const TokenLogprob& t :
       top_logprobs(std::vector<float>{kNan, kInfinity, -kInfinity, 1e38f}, 4))
    REQUIRE(std::isfinite(t.logprob));
}

}  // namespace
}  // namespace haikuda::test
