#include <CLI/CLI.hpp>

#include "app/option_groups.h"
#include "base/error.h"
#include "base/printable.h"
#include "infer/probe.h"

namespace haikuda {

void add_trace_options(CLI::App& app, RawOptions& raw) {
  app.option_defaults()->group("Output");
  app.add_option("--trace", raw.options.trace.file,
                 "Write each stage of the computation to FILE, as JSON lines")
      ->type_name("FILE");
  app.add_option("--trace-layers", raw.trace_layers, "Of these layers, such as 0-1,23")
      ->type_name("LIST|all")
      ->capture_default_str();
  app.add_option("--trace-positions", raw.trace_positions, "Of these positions, such as 0-4")
      ->type_name("LIST|all")
      ->capture_default_str();
  app.add_option("--trace-stages", raw.trace_stages, "These stages, such as q,k_rope,attn_weights")
      ->type_name("LIST|all")
      ->capture_default_str();
  app.add_option("--trace-values", raw.trace_values, "First values of each row")
      ->type_name("N|all")
      ->capture_default_str();
  app.add_option("--trace-heads", raw.trace_heads, "Heads whose attention is written as a whole")
      ->type_name("LIST|all");
}

void need_probe(const char* what) {
  if (!kHasProbe)
    throw Error(ExitCode::unsupported,
                std::string(what) +
                    ": this executable was built without a probe (-DHAIKUDA_PROBE=OFF), which it "
                    "needs");
}

void resolve_trace(const CLI::App& app, RawOptions& raw) {
  TraceOptions& trace = raw.options.trace;
  if (trace.file.empty()) {
    for (const char* flag : {"--trace-layers", "--trace-positions", "--trace-stages",
                             "--trace-values", "--trace-heads"})
      if (app.count(flag) > 0)
        throw Error(ExitCode::usage, std::string(flag) + " needs --trace FILE");
    if (app.count("--trace") > 0) throw Error(ExitCode::usage, "--trace: the file's name is empty");
    return;
  }
  need_probe("--trace");
  if (raw.options.n_samples > 1)
    throw Error(ExitCode::usage, "--trace follows one text; it excludes --num-samples");
  TraceFilter& filter = trace.filter;
  filter.layers = IndexSet::parse(raw.trace_layers, "--trace-layers");
  filter.positions = IndexSet::parse(raw.trace_positions, "--trace-positions");
  filter.stages = parse_stages(raw.trace_stages, "--trace-stages");
  if (!raw.trace_heads.empty()) filter.heads = IndexSet::parse(raw.trace_heads, "--trace-heads");
  if (raw.trace_values == "all" || raw.trace_values == "-1") {
    filter.n_values = -1;
    return;
  }
  std::string n_values = raw.trace_values;
  const std::string problem = number_in(0, 1e9)(n_values);
  if (!problem.empty() || n_values.find_first_not_of("0123456789") != std::string::npos)
    throw Error(ExitCode::usage,
                "--trace-values: expected a number from 0 to 1000000000, or all; got '" +
                    printable(n_values) + "'");
  filter.n_values = std::stoi(n_values);
}

}  // namespace haikuda
