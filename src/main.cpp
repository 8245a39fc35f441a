// Parse, run, exit code: the only place that catches.
#include <exception>
#include <new>

#include "app/commands.h"
#include "app/options.h"
#include "app/terminal.h"
#include "app/text_sink.h"
#include "base/error.h"

namespace haikuda {
namespace {

ExitCode run_request(Options&& options) {
  return run_generate(std::move(options));
}
ExitCode run_request(ChatOptions&& options) {
  return run_chat(std::move(options));
}
ExitCode run_request(InfoOptions&& options) {
  return run_info(options);
}
ExitCode run_request(TokenizeOptions&& options) {
  return run_tokenize(options);
}
ExitCode run_request(DetokenizeOptions&& options) {
  return run_detokenize(options);
}
ExitCode run_request(DiagnoseOptions&& options) {
  return run_diagnose(options);
}
ExitCode run_request(DevicesOptions&& options) {
  return run_devices(options);
}
ExitCode run_request(BenchOptions&& options) {
  return run_bench(options);
}
ExitCode run_request(PrintText&& print) {
  TextSink sink;
  sink.write(print.text);
  sink.finish();
  return ExitCode::ok;
}

ExitCode run(int argc, char** argv) {
  return std::visit([](auto&& request) { return run_request(std::move(request)); },
                    parse_options(argc, argv));
}

int report(ExitCode code, const char* message) {
  if (code != ExitCode::broken_pipe) print_error(message);
  return static_cast<int>(code);
}

}  // namespace
}  // namespace haikuda

int main(int argc, char** argv) {
  using haikuda::ExitCode;
  try {
    return static_cast<int>(haikuda::run(argc, argv));
  } catch (const haikuda::Error& e) {
    return haikuda::report(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return haikuda::report(ExitCode::out_of_memory,
                           "out of host memory; try a smaller model or -c");
  } catch (const std::exception& e) {
    return haikuda::report(ExitCode::internal, e.what());
  }
}
