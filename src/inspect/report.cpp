#include "inspect/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/printable.h"
#include "inspect/recompute.h"
#include "inspect/report_charts.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --fg: #1b1f24; --bg: #fff; --soft: #667; --line: #d5d9e0;
  --ink: #1f5fbf; --good: #1a7f37; --warn: #8a5a00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e8eb; --bg: #14171b; --soft: #9aa3ad;
  --line: #353b43; --ink: #7fb0ff; --good: #5fd080; --warn: #e5b567; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.note { color: var(--soft); } .good { color: var(--good); } .warning { color: var(--warn); }
.red { color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; }
td, th { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } td:first-child, td:nth-child(2) { white-space: nowrap; } code { font-family: ui-monospace, monospace; white-space: pre-wrap; }
td code { border: 1px solid var(--line); border-radius: 3px; padding: 0 .15rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
svg .axis { stroke: var(--line); } svg .curve { stroke: var(--ink); fill: none; stroke-width: 2; }
svg .dot, svg .cell { fill: var(--ink); } .maps { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .82rem; }
)";

const char* class_of(Grade grade) {
  return grade == Grade::good ? "good" : grade == Grade::warning ? "warning" : "red";
}

std::string verdict_table(const Diagnosis& diagnosis) {
  std::string out =
      "<div class=wide><table><tr><th>verdict<th>group<th>what ought to be<th>found<th>allowed"
      "<th>where<th>probable cause</tr>\n";
  for (const Verdict& v : diagnosis.verdicts)
    out += fmt::format("<tr><td class={}>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>\n",
                       class_of(v.grade), grade_name(v.grade), html_text(v.group),
                       html_text(v.rule), html_text(v.figure), html_text(v.threshold),
                       html_text(v.place()), html_text(v.cause));
  return out + "</table></div>\n";
}

// RMS of the residual behind each layer, over all positions; the embedding first.
std::vector<double> residual_sizes(const ReportInput& in) {
  std::vector<double> out;
  for (int layer = -1; layer < in.model.config.n_layers; ++layer) {
    double sum = 0;
    for (int p = 0; p < in.exam.n_tokens(); ++p) {
      const auto row = layer < 0 ? in.exam.run.row(Stage::token_embd, -1, p)
                                 : in.exam.run.row(Stage::ffn_residual, layer, p);
      const double rms = row.empty() ? 0 : stage_stats(row).rms;
      sum += rms * rms;
    }
    out.push_back(std::sqrt(sum / in.exam.n_tokens()));
  }
  return out;
}

std::vector<int> chosen(const IndexSet& set, int n) {
  std::vector<int> out = {0, n / 2, n - 1};
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (set.empty()) return out;
  out.clear();
  for (int i = 0; i < n; ++i)
    if (set.contains(i)) out.push_back(i);
  return out;
}

std::string attention_maps(const ReportInput& in) {
  const ModelConfig& c = in.model.config;
  const std::vector<int> layers = chosen(in.layers, c.n_layers),
                         heads = chosen(in.heads, c.n_heads);
  std::string out = "<div class=maps>\n";
  for (const int layer : layers)
    for (const int head : heads) {
      std::vector<std::vector<float>> map;
      for (int p = 0; p < in.exam.n_tokens(); ++p) {
        const auto row = in.exam.run.row(Stage::attn_weights, layer, p);
        const std::size_t n_keys = row.size() / static_cast<std::size_t>(c.n_heads);
        const auto weights = row.subspan(static_cast<std::size_t>(head) * n_keys, n_keys);
        map.emplace_back(weights.begin(), weights.end());
      }
      out += fmt::format("<figure>{}<figcaption>layer {}, head {}</figcaption></figure>\n",
                         attention_chart(map), layer, head);
    }
  return out + "</div>\n";
}

// What each layer's residual at the prompt's end would say if it were the last.
std::string logit_lens(const ReportInput& in) {
  constexpr std::size_t kTop = 5;
  const Weights& w = in.model.weights;
  const int position = in.exam.n_prompt - 1;
  const std::vector<float> weight = to_float(w.output_norm);
  std::vector<recompute::Row> normed;
  normed.reserve(static_cast<std::size_t>(in.model.config.n_layers));
  for (int layer = 0; layer < in.model.config.n_layers; ++layer)
    normed.push_back(recompute::rms_norm(in.exam.run.row(Stage::ffn_residual, layer, position),
                                         weight, static_cast<int>(weight.size()),
                                         static_cast<double>(in.model.config.rms_eps)));
  for (const recompute::Row& row : normed)
    if (row.size() != weight.size()) return "<p class=note>The residual was not shown.</p>\n";
  ThreadPool threads;
  const auto logits = recompute::product(w.output, {}, {normed.begin(), normed.end()}, threads);
  std::string out = "<div class=wide><table><tr><th>layer<th>likeliest next tokens</tr>\n";
  for (std::size_t layer = 0; layer < logits.size(); ++layer) {
    out += fmt::format("<tr><td>{}<td>", layer);
    for (const auto& [id, logit] : greatest(logits[layer], kTop))
      out += fmt::format("<code>{}</code> {:.1f} &nbsp; ", html_text(in.token_text(id)), logit);
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string prompt_text(const ReportInput& in) {
  std::string out;
  for (int i = 0; i < in.exam.n_prompt; ++i)
    out += html_text(in.token_text(in.exam.tokens[static_cast<std::size_t>(i)]));
  out += "<b>";
  for (const int id : in.exam.generated) out += html_text(in.token_text(id));
  return out + "</b>";
}

std::string comparison_part(const Comparison& c) {
  std::string out = fmt::format(
      "<h2>Against {}</h2>\n<p class=note>Greatest NMSE of each layer's residual; {} rows "
      "compared, "
      "rounding explains {}.</p>\n",
      html_text(c.name), c.n_rows, figure_text(c.bound));
  if (c.greatest == 0) return out + "<p>No difference.</p>\n";
  std::vector<double> errors;
  for (const double e : c.by_layer) errors.push_back(std::max(e, 1e-18));
  return out + line_chart(errors, true, "layer", "NMSE");
}

}  // namespace

std::string html_text(const std::string& bytes) {
  std::string out;
  for (const char c : printable(bytes, 4096)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += c;
  }
  return out;
}

std::string html_report(const ReportInput& in) {
  const bool healthy = in.diagnosis.is_healthy();
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
      "<meta name=viewport content=\"width=device-width\">\n<title>haikuda diagnose</title>\n"
      "<style>{}</style>\n<h1>{}</h1>\n<p class={}>{}</p>\n",
      kStyle, html_text(in.model.description()), healthy ? "good" : "red",
      html_text(in.diagnosis.conclusion()));
  out += fmt::format("<p class=note>{} · {} · {}</p>\n<p><code>{}</code></p>\n",
                     html_text(in.model.files.name), html_text(in.device), html_text(in.program),
                     prompt_text(in));
  out += "<h2>Verdicts</h2>\n" + verdict_table(in.diagnosis);
  out +=
      "<h2>Residual by layer</h2>\n<p class=note>RMS over all positions; 0 is the "
      "embedding.</p>\n" +
      line_chart(residual_sizes(in), true, "layers", "RMS");
  out += "<h2>Attention</h2>\n<p class=note>Rows are tokens, columns what they look at.</p>\n" +
         attention_maps(in);
  out +=
      "<h2>What each layer would say</h2>\n<p class=note>The residual behind a layer, through "
      "the output norm and matrix, with its logits.</p>\n" +
      logit_lens(in);
  if (in.comparison) out += comparison_part(*in.comparison);
  return out + "</html>\n";
}

}  // namespace haikuda
