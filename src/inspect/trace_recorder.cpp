#include "inspect/trace_recorder.h"

#include <cerrno>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/printable.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

constexpr std::size_t kTop = 10;  // greatest logits that are written

// The shortest text that is read as the same float.
std::string number(float x) {
  return std::isfinite(x) ? fmt::format("{}", x) : fmt::format("\"{}\"", x);
}

template <class Range, class Write>
std::string array(const Range& values, Write&& write) {
  std::string out = "[";
  for (const auto& value : values) {
    if (out.size() > 1) out += ',';
    out += write(value);
  }
  return out + ']';
}
std::string array(std::span<const int> values) {
  return array(values, [](int x) { return std::to_string(x); });
}
std::string array(std::span<const float> values) {
  return array(values, number);
}

std::string stats_text(const StageStats& s) {
  return fmt::format(R"("min":{},"max":{},"mean":{},"rms":{},"zeros":{},"non_finite":{})",
                     number(s.min), number(s.max), number(static_cast<float>(s.mean)),
                     number(static_cast<float>(s.rms)), s.n_zeros, s.n_non_finite);
}

// Where the least and the greatest of the whole vocabulary are, and the ten greatest.
std::string logits_text(const StageStats& s, std::span<const float> logits) {
  return fmt::format(R"(,"min_id":{},"max_id":{},"top":{})", s.min_index, s.max_index,
                     array(greatest(logits, kTop), [](const auto& top) {
                       return fmt::format("[{},{}]", top.first, number(top.second));
                     }));
}

// Whole rows (n_keys) of the chosen heads.
std::string heads_text(const IndexSet& heads, std::span<const float> row, int n_heads) {
  const std::size_t n_keys = row.size() / static_cast<std::size_t>(n_heads);
  std::string out;
  for (int head = 0; head < n_heads; ++head) {
    if (!heads.contains(head)) continue;
    out += fmt::format(R"({}"{}":{})", out.empty() ? "" : ",", head,
                       array(row.subspan(static_cast<std::size_t>(head) * n_keys, n_keys)));
  }
  return R"(,"heads":{)" + out + '}';
}

std::string header_line(const Model& model, const TraceRun& run) {
  const ModelConfig& c = model.config;
  const nlohmann::ordered_json header = {
      {"format", "haikuda-trace"},
      {"version", kTraceVersion},
      {"program", run.program},
      {"device", run.device},
      {"file", model.files.name},
      {"model", model.description()},
      {"architecture", c.architecture.name},
      {"shapes",
       {{"n_layers", c.n_layers},
        {"n_embd", c.n_embd},
        {"n_ff", c.n_ff},
        {"n_heads", c.n_heads},
        {"n_kv_heads", c.n_kv_heads},
        {"head_dim", c.head_dim},
        {"rope_dims", c.rope.n_dims},
        {"n_vocab", c.n_vocab}}},
      {"tokens", std::vector<int>(run.tokens.begin(), run.tokens.end())}};
  return header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

TraceRecorder::TraceRecorder(const std::string& file,
                             const TraceFilter& filter,
                             const Model& model,
                             const TraceRun& run)
    : name_(printable(file)), filter_(filter), file_(std::fopen(file.c_str(), "wbe")) {
  if (!file_) fail("cannot write");
  write(header_line(model, run));
}

void TraceRecorder::show(const StageView& view) {
  for (int row = 0; row < view.n_rows; ++row)
    if (filter_.positions.contains(view.position + row)) write_row(view, row);
}

void TraceRecorder::write_row(const StageView& view, int row) {
  const bool has_ids = !view.ids.empty();
  std::string line = fmt::format(
      R"({{"stage":"{}","layer":{},"position":{},"shape":{},"dtype":"{}",)", stage_name(view.stage),
      view.layer < 0 ? "null" : std::to_string(view.layer), view.position + row,
      array(view.row_shape), has_ids ? "I32" : dtype_name(view.dtype));
  if (has_ids)
    return write(line + fmt::format(R"("values":[{}]}})", view.ids[static_cast<std::size_t>(row)]));
  const std::span<const float> values = view.row(row);
  const StageStats stats = stage_stats(values);
  const bool all = filter_.n_values < 0;
  const std::size_t n_values =
      all ? values.size() : std::min(values.size(), static_cast<std::size_t>(filter_.n_values));
  line += stats_text(stats) + R"(,"values":)" + array(values.first(n_values));
  if (view.stage == Stage::logits) line += logits_text(stats, values);
  const bool is_map = view.stage == Stage::attn_scores || view.stage == Stage::attn_weights;
  if (is_map && !filter_.heads.empty())
    line += heads_text(filter_.heads, values, view.row_shape[0]);
  write(line + '}');
}

void TraceRecorder::write(const std::string& line) {
  HAIKUDA_CHECK(file_ != nullptr);
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
      std::fputc('\n', file_.get()) == EOF)
    fail("write failed");
}

void TraceRecorder::finish() {
  if (file_ && std::fclose(file_.release()) != 0) fail("write failed");
}

void TraceRecorder::fail(const char* what) const {
  throw Error(ExitCode::io,
              fmt::format("--trace: '{}': {}: {}", name_, what, std::strerror(errno)));
}

}  // namespace haikuda
