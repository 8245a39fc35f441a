// One chart of an SVG: axes, lines, points and their names. Knows nothing of what it shows.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace haikuda {

using ChartPoint = std::pair<double, double>;  // x, y in the axes' units

struct ChartAxis {
  std::string title;
  double min = 0, max = 1;  // max > min; both > 0 when logarithmic
  bool is_log = false;
};

class SvgChart {
 public:
  static constexpr int kWidth = 440, kHeight = 340;

  SvgChart(std::string title, ChartAxis x, ChartAxis y);

  // `series` chooses the colour.
  void add_line(const std::vector<ChartPoint>& points, int series);
  // A grey line with its name beside it; a dashed one is level.
  void add_roof(ChartPoint from, ChartPoint to, bool is_dashed, const std::string& name);
  void add_point(const ChartPoint& point, int series);
  // From y_min to y_max at x.
  void add_range(double x, double y_min, double y_max, int series);
  // Beside the point, moved down where it would cover an earlier name.
  void add_name(const ChartPoint& point, int series, const std::string& name);

  // A group whose upper left corner is at (left, top).
  std::string group(int left, int top) const;

 private:
  double x_of(double value) const;
  double y_of(double value) const;
  void add_axes();

  ChartAxis x_, y_;
  std::vector<ChartPoint> names_at_;
  std::string body_;
};

// The whole picture, charts side by side.
std::string svg_document(const std::string& title, const std::vector<SvgChart>& charts);

// The least "round" number (1, 2 or 5 times a power of ten) that is at least `value` > 0.
double round_up(double value);
// "1.5k", "20M"
std::string short_number(double value);

}  // namespace haikuda
