// Signs in the residual stream, the logits and the text.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/utf8.h"
#include "inspect/nmse.h"
#include "inspect/rules.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

constexpr double kMaxJump = 1e4;        // of the residual's RMS over one layer
constexpr double kLeastChange = 1e-12;  // NMSE between two layers, tokens or steps

double difference(std::span<const float> a, std::span<const float> b) {
  return a.empty() || b.empty() || !all_finite(a) || !all_finite(b)
             ? std::numeric_limits<double>::infinity()
             : nmse(a, b);
}

}  // namespace

void check_residual(const Checkup& c, Diagnosis& out) {
  const StageRows& rows = c.exam.run;
  Verdict finite{.group = "residual", .rule = "the residual is finite", .threshold = "all"};
  Verdict layers{.group = "residual", .rule = "each layer changes the residual"};
  Verdict growth{.group = "residual", .rule = "the residual grows as it should"};
  Verdict tokens{.group = "residual", .rule = "different tokens differ"};
  layers.threshold = tokens.threshold = "NMSE > " + figure_text(kLeastChange);
  growth.threshold = fmt::format("<= {} times a layer", kMaxJump);
  double least = INFINITY, least_tokens = INFINITY, jump = 0;
  for (int layer = 0; layer < c.config().n_layers; ++layer)
    for (int p = 0; p < c.exam.n_tokens(); ++p) {
      const auto x = layer == 0 ? rows.row(Stage::token_embd, -1, p)
                                : rows.row(Stage::ffn_residual, layer - 1, p);
      const auto y = rows.row(Stage::ffn_residual, layer, p);
      if (x.empty() || y.empty()) continue;
      if (!all_finite(y)) {
        finite.flag(Grade::red, Stage::ffn_residual, layer, p, "not finite from this layer on");
        continue;
      }
      const double change = difference(y, x);
      least = std::min(least, change);
      if (change <= kLeastChange)
        layers.flag(Grade::red, Stage::ffn_residual, layer, p,
                    "the layer adds nothing: its weights are zero");
      const double before = stage_stats(x).rms;
      const double ratio = before > 0 ? stage_stats(y).rms / before : 0;
      jump = std::max(jump, ratio);
      if (ratio > kMaxJump)
        growth.flag(Grade::warning, Stage::ffn_residual, layer, p, "a scale of the weights is off");
      if (p == 0 || c.exam.tokens[static_cast<std::size_t>(p)] ==
                        c.exam.tokens[static_cast<std::size_t>(p - 1)])
        continue;
      const double apart = difference(y, rows.row(Stage::ffn_residual, layer, p - 1));
      least_tokens = std::min(least_tokens, apart);
      if (apart <= kLeastChange)
        tokens.flag(Grade::red, Stage::ffn_residual, layer, p, "the model does not see its input");
    }
  finite.figure = finite.grade == Grade::good ? "all" : "not all";
  layers.figure = "NMSE " + figure_text(least);
  growth.figure = figure_text(jump) + " times a layer";
  tokens.figure = "NMSE " + figure_text(least_tokens);
  for (Verdict* v : {&finite, &layers, &growth, &tokens}) out.add(std::move(*v));
}

void check_logits(const Checkup& c, Diagnosis& out) {
  Verdict finite{.group = "logits", .rule = "all logits are finite", .threshold = "all"};
  Verdict spread{.group = "logits", .rule = "logits are spread", .threshold = "deviation > 1e-3"};
  Verdict steps{.group = "logits", .rule = "logits differ between steps"};
  steps.threshold = "NMSE > " + figure_text(kLeastChange);
  double least_spread = INFINITY, least_change = INFINITY;
  const int first = c.exam.n_prompt - 1;
  for (int p = first; p < c.exam.n_tokens(); ++p) {
    const auto row = c.exam.run.row(Stage::logits, -1, p);
    if (row.empty()) continue;
    const StageStats s = stage_stats(row);
    if (s.n_non_finite > 0) {
      finite.flag(Grade::red, Stage::logits, -1, p, fmt::format("{} are not", s.n_non_finite));
      continue;
    }
    const double deviation = std::sqrt(std::max(0.0, s.rms * s.rms - s.mean * s.mean));
    least_spread = std::min(least_spread, deviation);
    if (deviation <= 1e-3)
      spread.flag(Grade::red, Stage::logits, -1, p, "the output matrix or its input is zero");
    if (p == first) continue;
    const double change = difference(row, c.exam.run.row(Stage::logits, -1, p - 1));
    least_change = std::min(least_change, change);
    if (change <= kLeastChange)
      steps.flag(Grade::red, Stage::logits, -1, p, "the model is stuck: its input is not read");
  }
  finite.figure = finite.grade == Grade::good ? "all" : "not all";
  spread.figure = "deviation " + figure_text(least_spread);
  steps.figure = "NMSE " + figure_text(least_change);
  for (Verdict* v : {&finite, &spread}) out.add(std::move(*v));
  if (c.exam.n_tokens() > c.exam.n_prompt) out.add(std::move(steps));
}

void check_output(const Checkup& c, const GeneratedText& text, Diagnosis& out) {
  // The share of the commonest token: greedy text of small models repeats, so all of it counts.
  std::map<int, int> counts;
  int most = 0;
  const auto n = static_cast<int>(c.exam.generated.size());
  for (const int token : c.exam.generated) most = std::max(most, ++counts[token]);
  Verdict repeats{.group = "output", .rule = "not one token over and over", .threshold = "< 100 %"};
  repeats.figure = fmt::format("{} of {} are the same", most, n);
  if (n >= 4 && most == n) {
    repeats.grade = Grade::warning;
    repeats.stage = Stage::sampled;
    repeats.cause = "greedy text of small models repeats; else any fault above";
  }
  Verdict special{.group = "output", .rule = "no control token inside the text", .threshold = "0"};
  special.figure = fmt::format("{}", text.n_special);
  if (text.n_special > 0) {
    special.grade = Grade::warning;
    special.stage = Stage::sampled;
    special.cause = "random logits, or a prompt that needs the chat template";
  }
  Verdict utf8{.group = "output", .rule = "the text is valid UTF-8", .threshold = "valid"};
  // The last character may not be complete yet.
  const auto invalid = find_invalid_utf8(text.bytes);
  const bool bad = invalid && *invalid + 4 <= text.bytes.size();
  utf8.figure = bad ? fmt::format("invalid at byte {}", *invalid) : "valid";
  if (bad) {
    utf8.grade = Grade::warning;
    utf8.stage = Stage::sampled;
    utf8.cause = "random tokens: any fault above";
  }
  for (Verdict* v : {&repeats, &special, &utf8}) out.add(std::move(*v));
}

Diagnosis diagnose(const Checkup& c, const GeneratedText& text) {
  Diagnosis out;
  check_file(c.model, out);
  check_qkv(c, out);
  check_rope(c, out);
  check_softmax(c, out);
  check_cache(c, out);
  check_residual(c, out);
  check_logits(c, out);
  check_stages(c, out);
  check_output(c, text, out);
  return out;
}

}  // namespace haikuda
