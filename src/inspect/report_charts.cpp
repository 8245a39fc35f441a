#include "inspect/report_charts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace haikuda {
namespace {

constexpr double kWidth = 640, kHeight = 240, kLeft = 64, kBottom = 34, kTop = 24, kRight = 12;

}  // namespace

std::string line_chart(const std::vector<double>& values,
                       bool log,
                       const char* x_name,
                       const char* y_name) {
  const auto height_of = [&](double v) { return log ? std::log10(v) : v; };
  const auto is_shown = [&](double v) { return std::isfinite(v) && (!log || v > 0); };
  double low = INFINITY, high = -INFINITY;
  for (const double v : values)
    if (is_shown(v)) low = std::min(low, height_of(v)), high = std::max(high, height_of(v));
  if (!(low <= high)) return "<p class=note>Nothing finite to draw.</p>\n";
  if (high - low < 1e-6) low -= 0.5, high += 0.5;
  const double n = std::max<double>(1, static_cast<double>(values.size()) - 1);
  const auto x = [&](double i) { return kLeft + i / n * (kWidth - kLeft - kRight); };
  const auto y = [&](double h) {
    return kHeight - kBottom - (h - low) / (high - low) * (kHeight - kBottom - kTop);
  };
  std::string out =
      fmt::format("<svg viewBox=\"0 0 {} {}\" width={} role=img>\n", kWidth, kHeight, kWidth);
  for (const double part : {0.0, 0.5, 1.0}) {
    const double h = low + part * (high - low);
    out += fmt::format(
        "<line class=axis x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />"
        "<text x={:.1f} y={:.1f} text-anchor=end>{:.2g}</text>\n",
        kLeft, kWidth - kRight, y(h), y(h), kLeft - 6, y(h) + 4, log ? std::pow(10, h) : h);
  }
  std::string points;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_shown(values[i])) continue;
    const double px = x(static_cast<double>(i)), py = y(height_of(values[i]));
    points += fmt::format("{:.1f},{:.1f} ", px, py);
    out += fmt::format(
        "<circle class=dot cx={:.1f} cy={:.1f} r=2.5><title>{}: {:.4g}</title>"
        "</circle>\n",
        px, py, i, values[i]);
  }
  out += fmt::format("<polyline class=curve points=\"{}\" />\n", points);
  const double last = static_cast<double>(values.size()) - 1;
  out += fmt::format(
      "<text x={:.1f} y={:.1f}>0</text><text x={:.1f} y={:.1f} text-anchor=end>{:.0f} {}</text>"
      "<text x={:.1f} y=12>{}</text></svg>\n",
      x(0), kHeight - 12, x(last), kHeight - 12, last, x_name, kLeft, y_name);
  return out;
}

std::string attention_chart(const std::vector<std::vector<float>>& rows) {
  constexpr double kCell = 10;
  const double size = kCell * static_cast<double>(rows.size());
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {0} {0}\" width={0} role=img>\n"
      "<rect class=axis width={0} height={0} fill=none />\n",
      size);
  for (std::size_t token = 0; token < rows.size(); ++token)
    for (std::size_t key = 0; key < rows[token].size(); ++key) {
      const float weight = rows[token][key];
      if (!(weight >= 0.005f)) continue;
      out += fmt::format(
          "<rect class=cell x={} y={} width={} height={} opacity={:.2f} >"
          "<title>{} looks at {}: {:.3f}</title></rect>\n",
          kCell * static_cast<double>(key), kCell * static_cast<double>(token), kCell, kCell,
          std::min(weight, 1.0f), token, key, weight);
    }
  return out + "</svg>";
}

}  // namespace haikuda
