#include "app/bench/bench_plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "app/bench/svg_chart.h"
#include "app/statistics.h"

namespace haikuda {
namespace {

// Rows of one test at several depths.
struct Series {
  std::string name;  // without the depth
  std::vector<const BenchRow*> rows;
};

std::vector<Series> series_of(const std::vector<BenchRow>& rows) {
  std::vector<Series> all;
  for (const BenchRow& row : rows) {
    BenchTest at_no_depth = row.test;
    at_no_depth.n_depth = 0;
    const std::string name = test_name(at_no_depth);
    auto found =
        std::find_if(all.begin(), all.end(), [&](const Series& s) { return s.name == name; });
    if (found == all.end()) found = all.insert(found, Series{name, {}});
    found->rows.push_back(&row);
  }
  for (Series& s : all)
    std::stable_sort(s.rows.begin(), s.rows.end(), [](const BenchRow* a, const BenchRow* b) {
      return a->test.n_depth < b->test.n_depth;
    });
  return all;
}

double greatest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}
double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

// Those series whose tests begin with a prompt, or those that do not.
void add_speed_chart(std::vector<SvgChart>& charts,
                     const std::vector<Series>& all,
                     bool with_prompt,
                     const char* title) {
  double deepest = 0, fastest = 0;
  for (const Series& s : all)
    for (const BenchRow* row : s.rows) {
      if ((row->test.n_prompt > 0) != with_prompt) continue;
      deepest = std::max(deepest, static_cast<double>(row->test.n_depth));
      fastest = std::max(fastest, greatest(row->samples_ts()));
    }
  if (fastest == 0) return;
  SvgChart chart(title, {"tokens in the context before", 0, deepest > 0 ? deepest : 1},
                 {"tokens/s", 0, 1.08 * fastest});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const int colour = static_cast<int>(i);
    std::vector<ChartPoint> points;
    for (const BenchRow* row : all[i].rows) {
      if ((row->test.n_prompt > 0) != with_prompt) continue;
      points.emplace_back(row->test.n_depth, row->median_ts());
      chart.add_range(row->test.n_depth, least(row->samples_ts()), greatest(row->samples_ts()),
                      colour);
    }
    if (points.empty()) continue;
    chart.add_line(points, colour);
    for (const ChartPoint& point : points) chart.add_point(point, colour);
    chart.add_name(points.back(), colour, all[i].name);
  }
  charts.push_back(std::move(chart));
}

struct RooflinePoint {
  double intensity, flops_per_s;
};

RooflinePoint roofline_point(const BenchRow& row) {
  return {row.cost.flops / row.cost.bytes, row.cost.flops / median(row.samples_s)};
}

double power_of_ten(double value, bool up) {
  return std::pow(10.0, up ? std::ceil(std::log10(value)) : std::floor(std::log10(value)));
}

SvgChart roofline_chart(const BenchFacts& facts, const std::vector<Series>& all) {
  RooflinePoint low{1e300, 1e300}, high{0, 0};
  for (const Series& s : all)
    for (const BenchRow* row : s.rows) {
      const RooflinePoint p = roofline_point(*row);
      low = {std::min(low.intensity, p.intensity), std::min(low.flops_per_s, p.flops_per_s)};
      high = {std::max(high.intensity, p.intensity), std::max(high.flops_per_s, p.flops_per_s)};
    }
  const double roof = facts.read_bytes_per_s;
  const double x_min = power_of_ten(low.intensity / 2, false);
  const double x_max = power_of_ten(std::max(high.intensity * 2, 10 * x_min), true);
  const double y_min = power_of_ten(std::min(low.flops_per_s, roof * x_min), false);
  const double y_max = power_of_ten(std::max(high.flops_per_s, roof * low.intensity) * 2, true);
  SvgChart chart("Roofline", {"operations a byte read", x_min, x_max, true},
                 {"FLOP/s", y_min, y_max, true});
  const double x_end = std::min(x_max, y_max / roof);
  chart.add_roof({x_min, roof * x_min}, {x_end, roof * x_end}, false,
                 fmt::format("read {:.4g} GB/s, measured", roof / 1e9));
  chart.add_roof({x_min, high.flops_per_s}, {x_max, high.flops_per_s}, true, "most measured");
  for (std::size_t i = 0; i < all.size(); ++i)
    for (const BenchRow* row : all[i].rows) {
      const RooflinePoint p = roofline_point(*row);
      chart.add_point({p.intensity, p.flops_per_s}, static_cast<int>(i));
      if (row == all[i].rows.front())
        chart.add_name({p.intensity, p.flops_per_s}, static_cast<int>(i), all[i].name);
    }
  return chart;
}

}  // namespace

std::string bench_plot(const BenchFacts& facts, const std::vector<BenchRow>& rows) {
  const std::vector<Series> all = series_of(rows);
  std::vector<SvgChart> charts;
  add_speed_chart(charts, all, false, "Generation");
  add_speed_chart(charts, all, true, "Prompts");
  charts.push_back(roofline_chart(facts, all));
  return svg_document(
      fmt::format("haikuda {}, {}, {}", facts.version, facts.model_type,
                  facts.on_gpu ? facts.gpu_info
                               : fmt::format("{}, {} threads", facts.cpu_info, facts.n_threads)),
      charts);
}

}  // namespace haikuda
