// Any logits, history and options: an Error(usage), or a token of the vocabulary, the same each
// time.
#include "infer/sampler.h"

#include <array>
#include <cmath>

#include "fuzz_target.h"
#include "infer/sampler_logprobs.h"

namespace haikuda::fuzz {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A usual value, a corner or any bits.
double any_double(Input& input, double usual) {
  static constexpr std::array kCorners = {0.0, 1.0,   -1.0, 0.5,  1e-300,    1e-11,     1e-9,
                                          2.0, 100.0, 1e6,  -1e6, kInfinity, -kInfinity};
  const int choice = input.below(32);
  if (choice < 16) return usual;
  if (static_cast<std::size_t>(choice - 16) < kCorners.size())
    return kCorners[static_cast<std::size_t>(choice - 16)];
  return input.take<double>();
}

int any_int(Input& input, int usual) {
  const int choice = input.below(4);
  return choice < 2 ? usual : choice == 2 ? input.below(10) - 2 : input.take<int>();
}

SamplerOptions any_options(Input& input) {
  SamplerOptions o;
  o.temperature = any_double(input, o.temperature);
  o.dynatemp_range = any_double(input, o.dynatemp_range);
  o.dynatemp_exponent = any_double(input, o.dynatemp_exponent);
  o.top_k = any_int(input, o.top_k);
  o.top_p = any_double(input, o.top_p);
  o.min_p = any_double(input, o.min_p);
  o.typical_p = any_double(input, o.typical_p);
  o.top_n_sigma = any_double(input, o.top_n_sigma);
  o.xtc_probability = any_double(input, o.xtc_probability);
  o.xtc_threshold = any_double(input, o.xtc_threshold);
  o.repeat_penalty = any_double(input, o.repeat_penalty);
  o.repeat_last_n = any_int(input, o.repeat_last_n);
  o.frequency_penalty = any_double(input, o.frequency_penalty);
  o.presence_penalty = any_double(input, o.presence_penalty);
  o.dry_multiplier = any_double(input, o.dry_multiplier);
  o.dry_base = any_double(input, o.dry_base);
  o.dry_allowed_length = any_int(input, o.dry_allowed_length);
  o.dry_penalty_last_n = any_int(input, o.dry_penalty_last_n);
  o.mirostat = any_int(input, o.mirostat);
  o.mirostat_lr = any_double(input, o.mirostat_lr);
  o.mirostat_ent = any_double(input, o.mirostat_ent);
  o.min_keep = any_int(input, o.min_keep);
  o.seed = input.take<std::uint64_t>();
  for (int i = input.below(4); i > 0; --i) {
    std::vector<int> breaker(static_cast<std::size_t>(input.below(4)));
    for (int& id : breaker) id = input.below(6);
    o.dry_breakers.push_back(breaker);
  }
  for (int i = input.below(4); i > 0; --i)
    o.logit_bias.push_back({any_int(input, 1), any_double(input, 1)});
  for (int i = input.below(4); i > 0; --i)
    std::swap(o.samplers[static_cast<std::size_t>(input.below(9))],
              o.samplers[static_cast<std::size_t>(input.below(9))]);
  o.samplers.resize(o.samplers.size() - static_cast<std::size_t>(input.below(8)));
  return o;
}

void check_logprobs(const std::vector<float>& logits, int k) {
  const auto top = top_logprobs(logits, k);
  for (std::size_t i = 0; i < top.size(); ++i) {
    require(std::isfinite(top[i].logprob) && top[i].logprob <= 0,
            "a log probability is finite and none is above 0");
    require(i == 0 || top[i].logprob <= top[i - 1].logprob, "the likeliest comes first");
  }
}

}  // namespace

void fuzz_sampler(Bytes bytes) {
  Input input(bytes);
  const SamplerOptions options = any_options(input);
  std::vector<int> history(static_cast<std::size_t>(input.below(100)));
  for (int& id : history) id = input.below(8) == 0 ? input.take<int>() : input.below(6);
  std::vector<float> logits(static_cast<std::size_t>(input.below(256)) + 1);
  for (float& l : logits) l = input.take<float>();

  expect_result_or_error({ExitCode::usage}, [&] {
    Sampler sampler(options), twin(options);
    for (int step = 0; step < 3; ++step) {
      const int token = sampler.sample(logits, history);
      require(token >= 0 && static_cast<std::size_t>(token) < logits.size(),
              "the token is of the vocabulary");
      require(token == twin.sample(logits, history), "the same input gives the same token");
      history.push_back(token);
    }
  });
  check_logprobs(logits, any_int(input, 5));
}

}  // namespace haikuda::fuzz
