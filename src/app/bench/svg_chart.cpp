#include "app/bench/svg_chart.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace haikuda {
namespace {

constexpr int kLeft = 62, kRight = 84, kTop = 40, kBottom = 48;  // margins around the plot
constexpr int kPlotWidth = SvgChart::kWidth - kLeft - kRight;
constexpr int kPlotHeight = SvgChart::kHeight - kTop - kBottom;
constexpr int kSeries = 6;
constexpr double kLineHeight = 13;

// Colours that differ for the colour-blind too (Okabe and Ito), lighter on a dark ground.
constexpr const char* kStyle =
    "<style>\n"
    "text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:14px}\n"
    ".ground{fill:#fff}.axis{stroke:#57606a}.grid{stroke:#d0d7de}.roof{stroke:#6e7781}\n"
    "line,polyline{fill:none;stroke-width:1.5}\n"
    ".s0{stroke:#0060a8;fill:#0060a8}.s1{stroke:#c04a00;fill:#c04a00}"
    ".s2{stroke:#00785a;fill:#00785a}\n"
    ".s3{stroke:#a0407c;fill:#a0407c}.s4{stroke:#8a6d00;fill:#8a6d00}"
    ".s5{stroke:#44546a;fill:#44546a}\n"
    "text.name{stroke:none}polyline{fill:none!important}\n"
    "@media(prefers-color-scheme:dark){\n"
    "text{fill:#e6edf3}.ground{fill:#0d1117}.axis{stroke:#8b949e}.grid{stroke:#30363d}"
    ".roof{stroke:#9da7b3}\n"
    ".s0{stroke:#58b0ff;fill:#58b0ff}.s1{stroke:#ff9a57;fill:#ff9a57}"
    ".s2{stroke:#3fd0a4;fill:#3fd0a4}\n"
    ".s3{stroke:#f08ac8;fill:#f08ac8}.s4{stroke:#e3c44a;fill:#e3c44a}"
    ".s5{stroke:#a9b8cc;fill:#a9b8cc}\n"
    "}\n</style>\n";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

std::string text(
    double x, double y, const char* anchor, const char* more, const std::string& what) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, more, escaped(what));
}

std::string line(double x1, double y1, double x2, double y2, const std::string& attributes) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1,
                     x2, y2, attributes);
}

std::vector<double> ticks(const ChartAxis& axis) {
  const double exponent = std::ceil(std::log10(axis.min) - 1e-9);
  const double step = round_up((axis.max - axis.min) / 6);
  std::vector<double> out;
  for (int i = 0;; ++i) {
    const double t = axis.is_log ? std::pow(10.0, exponent + i) : axis.min + i * step;
    if (t > axis.max * 1.001) return out;
    out.push_back(t);
  }
}

double share(const ChartAxis& axis, double value) {
  return axis.is_log ? std::log(value / axis.min) / std::log(axis.max / axis.min)
                     : (value - axis.min) / (axis.max - axis.min);
}

}  // namespace

double round_up(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double digit : {1.0, 2.0, 5.0})
    if (digit * power >= value * (1 - 1e-9)) return digit * power;
  return 10 * power;
}

std::string short_number(double value) {
  constexpr std::array units = {"", "k", "M", "G", "T", "P"};
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < units.size(); ++unit) value /= 1000;
  return fmt::format("{:.4g}{}", value, units[unit]);
}

SvgChart::SvgChart(std::string title, ChartAxis x, ChartAxis y)
    : x_(std::move(x)), y_(std::move(y)) {
  body_ =
      text(kLeft, kTop - 18, "start", " class=\"title\"", fmt::format("{}, {}", title, y_.title));
  add_axes();
}

double SvgChart::x_of(double value) const {
  return kLeft + share(x_, value) * kPlotWidth;
}
double SvgChart::y_of(double value) const {
  return kTop + (1 - share(y_, value)) * kPlotHeight;
}

void SvgChart::add_axes() {
  const double bottom = kTop + kPlotHeight, right = kLeft + kPlotWidth;
  for (const double t : ticks(y_)) {
    body_ += line(kLeft, y_of(t), right, y_of(t), "class=\"grid\"");
    body_ += text(kLeft - 6, y_of(t) + 4, "end", "", short_number(t));
  }
  for (const double t : ticks(x_)) {
    body_ += line(x_of(t), bottom, x_of(t), bottom + 4, "class=\"axis\"");
    body_ += text(x_of(t), bottom + 17, "middle", "", short_number(t));
  }
  body_ += line(kLeft, bottom, right, bottom, "class=\"axis\"");
  body_ += line(kLeft, kTop, kLeft, bottom, "class=\"axis\"");
  body_ += text(kLeft + kPlotWidth / 2.0, bottom + 36, "middle", "", x_.title);
}

void SvgChart::add_line(const std::vector<ChartPoint>& points, int series) {
  std::string at;
  for (const auto& [x, y] : points) at += fmt::format("{:.1f},{:.1f} ", x_of(x), y_of(y));
  body_ += fmt::format("<polyline class=\"s{}\" points=\"{}\"/>\n", series % kSeries, at);
}

void SvgChart::add_roof(ChartPoint from, ChartPoint to, bool is_dashed, const std::string& name) {
  const double x1 = x_of(from.first), y1 = y_of(from.second);
  const double x2 = x_of(to.first), y2 = y_of(to.second);
  body_ += line(x1, y1, x2, y2,
                is_dashed ? "class=\"roof\" stroke-dasharray=\"5 4\"" : "class=\"roof\"");
  if (is_dashed)
    body_ += text(x1 + 6, y1 - 5, "start", "", name);
  else
    body_ += text(x1 + (x2 - x1) * 0.12 + 10, y1 + (y2 - y1) * 0.12 + 4, "start", "", name);
}

void SvgChart::add_point(const ChartPoint& point, int series) {
  body_ += fmt::format("<circle class=\"s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"/>\n",
                       series % kSeries, x_of(point.first), y_of(point.second));
}

void SvgChart::add_range(double x, double y_min, double y_max, int series) {
  body_ += line(x_of(x), y_of(y_min), x_of(x), y_of(y_max),
                fmt::format("class=\"s{}\"", series % kSeries));
}

void SvgChart::add_name(const ChartPoint& point, int series, const std::string& name) {
  const double x = x_of(point.first) + 8;
  double y = y_of(point.second) + 4;
  for (const auto& [other_x, other_y] : names_at_)
    if (std::abs(other_x - x) < 80 && std::abs(other_y - y) < kLineHeight)
      y = other_y + kLineHeight;
  names_at_.emplace_back(x, y);
  body_ += text(x, y, "start", fmt::format(" class=\"name s{}\"", series % kSeries).c_str(), name);
}

std::string SvgChart::group(int left, int top) const {
  return fmt::format("<g transform=\"translate({} {})\">\n{}</g>\n", left, top, body_);
}

std::string svg_document(const std::string& title, const std::vector<SvgChart>& charts) {
  constexpr int kHeading = 34;
  const int width = SvgChart::kWidth * static_cast<int>(charts.size());
  const int height = SvgChart::kHeight + kHeading;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\">\n<title>{2}</title>\n{3}"
      "<rect class=\"ground\" width=\"{0}\" height=\"{1}\"/>\n",
      width, height, escaped(title), kStyle);
  out += text(16, 24, "start", "", title);
  for (std::size_t i = 0; i < charts.size(); ++i)
    out += charts[i].group(SvgChart::kWidth * static_cast<int>(i), kHeading);
  return out + "</svg>\n";
}

}  // namespace haikuda
