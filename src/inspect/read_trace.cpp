#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/printable.h"
#include "inspect/comparison.h"
#include "inspect/trace_recorder.h"

namespace haikuda {
namespace {

using Json = nlohmann::json;

struct Line {
  const std::string& file;
  int number;

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ExitCode::io,
                fmt::format("--against: '{}', line {}: {}", printable(file), number, problem));
  }
};

// A number, or "nan", "inf", "-inf".
float number_of(const Json& json) {
  if (json.is_number()) return json.get<float>();
  return json == "inf" ? INFINITY : json == "-inf" ? -INFINITY : NAN;
}

int int_of(const Json& object, const char* key, const Line& line) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_integer())
    line.fail(fmt::format("\"{}\" is missing or no integer", key));
  const auto value = it->get<std::int64_t>();
  if (value < 0 || value > (std::int64_t{1} << 30)) line.fail(fmt::format("\"{}\" is bad", key));
  return static_cast<int>(value);
}

void read_header(const Json& header, const Line& line, const ModelConfig& c, OtherRun& out) {
  if (header.value("format", "") != "haikuda-trace")
    line.fail("no trace; --trace FILE writes one, and scripts/trace_transformers.py");
  if (int_of(header, "version", line) != kTraceVersion) line.fail("a trace of another version");
  const Json shapes = header.value("shapes", Json::object());
  for (const auto& [key, mine] :
       {std::pair{"n_layers", c.n_layers}, {"n_embd", c.n_embd}, {"n_vocab", c.n_vocab}})
    if (int_of(shapes, key, line) != mine)
      throw Error(ExitCode::usage,
                  fmt::format("--against: '{}' is of a model with {} {}, this one "
                              "has {}",
                              printable(line.file), key, int_of(shapes, key, line), mine));
  for (const Json& id : header.value("tokens", Json::array())) {
    if (!id.is_number_integer() || id < 0 || id >= c.n_vocab) line.fail("\"tokens\" has a bad id");
    out.prompt.push_back(id.get<int>());
  }
  if (out.prompt.empty()) line.fail("\"tokens\" is missing or empty");
  out.is_half = header.value("device", "").starts_with("CUDA");
}

}  // namespace

OtherRun read_trace(const std::string& path, const ModelConfig& config) {
  std::ifstream in(path);
  if (!in)
    throw Error(ExitCode::io, fmt::format("--against: cannot read '{}': {}", printable(path),
                                          std::strerror(errno)));
  OtherRun out;
  out.name = printable(path);
  std::map<int, int> fed;  // position -> token
  std::string text;
  for (Line line{path, 1}; std::getline(in, text); ++line.number) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) line.fail("no JSON object");
    if (line.number == 1) {
      read_header(json, line, config, out);
      continue;
    }
    const auto stage = find_stage(json.value("stage", ""));
    if (!stage) continue;  // of a later version
    const int position = int_of(json, "position", line);
    const int layer = is_of_layer(*stage) ? int_of(json, "layer", line) : -1;
    const Json values = json.value("values", Json::array());
    if (layer >= config.n_layers || !values.is_array()) line.fail("bad \"layer\" or \"values\"");
    if (*stage == Stage::tokens && !values.empty() && values[0].is_number_integer())
      fed[position] = values[0].get<int>();
    if (*stage == Stage::tokens || *stage == Stage::sampled) continue;
    std::vector<float> row;
    for (const Json& value : values) row.push_back(number_of(value));
    const StageRows::Key key{layer, *stage, position};
    out.rms[key] = static_cast<double>(number_of(json.value("rms", Json())));
    out.rows.set(key, std::move(row));
  }
  if (out.prompt.empty()) Line{path, 1}.fail("the file is empty");
  for (int p = static_cast<int>(out.prompt.size()); fed.contains(p); ++p) {
    if (fed[p] < 0 || fed[p] >= config.n_vocab) Line{path, 1}.fail("a token is out of range");
    out.continuation.push_back(fed[p]);
  }
  return out;
}

}  // namespace haikuda
