// Parse, run, exit code: the only place that catches.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "app/commands.h"
#include "app/options.h"
#include "app/process.h"
#include "app/terminal.h"
#include "app/text_sink.h"
#include "base/error.h"

namespace haikuda {
namespace {

ExitCode run_request(Options&& options, Process& process) {
  return run_generate(std::move(options), process);
}
ExitCode run_request(ChatOptions&& options, Process& process) {
  return run_chat(std::move(options), process);
}
ExitCode run_request(InfoOptions&& options, Process&) {
  return run_info(options);
}
ExitCode run_request(TokenizeOptions&& options, Process&) {
  return run_tokenize(options);
}
ExitCode run_request(DetokenizeOptions&& options, Process&) {
  return run_detokenize(options);
}
ExitCode run_request(DiagnoseOptions&& options, Process& process) {
  return run_diagnose(options, process);
}
ExitCode run_request(DevicesOptions&& options, Process&) {
  return run_devices(options);
}
ExitCode run_request(BenchOptions&& options, Process& process) {
  return run_bench(options, process);
}
ExitCode run_request(PrintText&& print, Process&) {
  TextSink sink;
  sink.write(print.text);
  sink.finish();
  return ExitCode::ok;
}

ExitCode run(int argc, char** argv, Process& process) {
  Request request = [&] {
    const Phase phase(&process.timeline(), "options");
    return parse_options(argc, argv);
  }();
  return std::visit([&](auto&& r) { return run_request(std::forward<decltype(r)>(r), process); },
                    std::move(request));
}

// A stream that the caller closed would give its number to the next file that is opened, and
// messages would be written into that. Reading and writing it still fail.
void reserve_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

// Where memory runs out inside a destructor, as that of JSON values, which may not throw: the line
// and the exit code of main, by what needs no memory.
[[noreturn]] void on_terminate() {
  const auto end = [](ExitCode code, std::string_view problem) {
    for (const std::string_view part : {std::string_view("haikuda: error: "), problem})
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, part.data(), part.size());
    ::_exit(static_cast<int>(code));
  };
  try {
    if (const auto error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    end(ExitCode::out_of_memory, "out of host memory; try a smaller model or -c\n");
  } catch (...) {
  }
  end(ExitCode::internal, "internal error: an exception where none may be; please report it\n");
  std::abort();
}

int report(ExitCode code, const char* message) {
  if (code != ExitCode::broken_pipe) print_error(message);
  return static_cast<int>(code);
}

int run_and_report(int argc, char** argv, Process& process) {
  try {
    return static_cast<int>(run(argc, argv, process));
  } catch (const Error& e) {
    return report(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return report(ExitCode::out_of_memory, "out of host memory; try a smaller model or -c");
  } catch (const std::exception& e) {
    return report(ExitCode::internal, e.what());
  }
}

}  // namespace
}  // namespace haikuda

int main(int argc, char** argv) {
  haikuda::reserve_standard_streams();
  std::set_terminate(haikuda::on_terminate);
  haikuda::Process process;
  const int code = haikuda::run_and_report(argc, argv, process);
  if (!process.may_end_at_once()) return code;
  std::fflush(stdout);
  std::fflush(stderr);
  std::_Exit(code);
}
