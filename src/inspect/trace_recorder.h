// A probe that writes what it is shown as JSON lines. The format is described in README.md here.
#pragma once

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "inspect/trace_filter.h"
#include "model/model.h"

namespace haikuda {

inline constexpr int kTraceVersion = 1;  // raised when a field changes its meaning or goes

// Facts of the run that the first line states.
struct TraceRun {
  std::string program;          // "haikuda 0.1.0"
  std::string device;           // Backend::device_name()
  std::span<const int> tokens;  // of the prompt
};

class TraceRecorder : public Probe {
 public:
  // Creates the file and writes the first line. Throws Error(io), here and from show() and
  // finish().
  TraceRecorder(const std::string& file,
                const TraceFilter& filter,
                const Model& model,
                const TraceRun& run);

  bool wants(Stage stage, int layer, int position, int n_rows) const override {
    return filter_.wants(stage, layer, position, n_rows);
  }
  void show(const StageView& view) override;
  // Writes what is left and closes the file.
  void finish();

 private:
  void write_row(const StageView& view, int row);
  void write(const std::string& line);
  [[noreturn]] void fail(const char* what) const;

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string name_;
  TraceFilter filter_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace haikuda
