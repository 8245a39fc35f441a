// Host memory that runs out at every point: each allocation of a whole run fails in turn, and the
// run ends with exit code 6, one line and nothing leaked. Prints how many were tried.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cpu/cpu_backend.h"
#include "faults/allocations.h"
#include "gguf/model_files.h"
#include "infer/generator.h"
#include "support/hostile_cases.h"
#include "support/malformed_gguf.h"
#include "support/temp_dir.h"
#include "text/chat_template.h"

int haikuda_main(int argc, char** argv);  // src/main.cpp, whose main is renamed for this test

namespace haikuda::test {
namespace {

constexpr int kOutOfMemory = static_cast<int>(ExitCode::out_of_memory);

int n_failed = 0;

void check(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  ++n_failed;
}

// --- The library, in this process ---

// Open, load, tokenize, prefill, decode two tokens.
std::string answer(const std::string& path, int n_threads) {
  const Model model(open_model_files(path));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  const ChatTemplate chat(model.files.metadata.get_string("tokenizer.chat_template"), "template");
  const std::vector<ChatMessage> messages = {{"user", "hello"}};
  const std::vector<int> tokens = tokenizer->encode_pieces(chat.render(messages, {}));
  const auto backend = make_cpu_backend(model, {.n_ctx = 128, .n_threads = n_threads, .chunk = 8});
  std::string text;
  GenerateOptions options;
  options.n_predict = 2;
  options.sampler.temperature = 1;
  options.ignore_eos = true;
  options.stop = {"no such text"};
  GenerateHooks hooks;
  hooks.on_text = [&](std::string_view piece) { text += piece; };
  hooks.should_stop = [] { return false; };
  generate(*backend, *tokenizer, tokens, options, hooks);
  return text;
}

enum class End { answered, out_of_memory, other };

template <class Run>
End end_of(Run run) {
  try {
    run();
    return End::answered;
  } catch (const std::bad_alloc&) {
    return End::out_of_memory;
  } catch (const Error& e) {
    return e.code() == ExitCode::out_of_memory ? End::out_of_memory : End::other;
  } catch (const std::exception&) {
    return End::other;
  }
}

void fail_each_in_library(const std::string& path, int n_threads, bool for_good) {
  const std::string name = std::to_string(n_threads) + (n_threads == 1 ? " thread" : " threads") +
                           (for_good ? ", all later ones too" : "");
  const std::string want = answer(path, n_threads);  // and whatever is made once is made
  answer(path, n_threads);
  fail_allocation(0, false);
  answer(path, n_threads);
  const long n = allocations_counted();
  long n_refused = 0, n_leaked = 0;
  std::string got;
  for (long at = 1; at <= n; ++at) {
    got.clear();
    const long live = live_allocations();
    fail_allocation(at, for_good);
    const End end = end_of([&] { got = answer(path, n_threads); });
    fail_allocation(0, false);
    n_refused += end == End::out_of_memory;
    if (end == End::answered && got != want)
      check(false, name + ": allocation " + std::to_string(at) + " failed, other text");
    if (end == End::other)
      check(false, name + ": allocation " + std::to_string(at) + " failed, another error");
    got = std::string();
    n_leaked += live_allocations() != live;
  }
  check(n_leaked == 0, name + ": " + std::to_string(n_leaked) + " runs leaked");
  check(n_refused > n / 2, name + ": hardly any failure was noticed");
  std::printf("library, %s: allocations failed: %ld, out of memory %ld, went on %ld, leaked %ld\n",
              name.c_str(), n, n_refused, n - n_refused, n_leaked);
}

// --- The executable's main, each failure in a child ---

int stdout_file = -1, stderr_file = -1;
long n_children = 0, n_out_of_memory = 0, n_went_on = 0;
std::vector<std::string> survivors;  // what those that went on wrote

std::string content(int file) {
  std::string out(1 << 16, '\0');
  const ssize_t n = ::pread(file, out.data(), out.size(), 0);
  out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return out;
}

bool is_one_line_error(const std::string& text) {
  return text.starts_with("haikuda: error: ") && text.find('\n') == text.size() - 1;
}

void on_child_end(const ForkedEnd& end) {
  ++n_children;
  const std::string message = content(stderr_file);
  const int code = WIFEXITED(end.status) ? WEXITSTATUS(end.status) : -WTERMSIG(end.status);
  if (code == kOutOfMemory && is_one_line_error(message)) {
    ++n_out_of_memory;
  } else if (code == 0 && message.empty()) {
    ++n_went_on;
    survivors.push_back(content(stdout_file));
  } else {
    check(false, "allocation " + std::to_string(end.n) + (end.for_good ? " and all later" : "") +
                     " failed: exit " + std::to_string(code) + ": " + message);
  }
}

// A record has the id of the run and ends in its times.
std::string without_run(const std::string& text) {
  constexpr std::string_view kBeforeId = "\"type\":\"result\",\"schema\":1,\"id\":\"";
  std::string out = text.substr(0, text.find("\"finish_reason\""));
  if (const std::size_t at = out.find(kBeforeId); at != std::string::npos)
    out.erase(at + kBeforeId.size(), out.find('"', at + kBeforeId.size()) - at - kBeforeId.size());
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& arguments) {
  std::vector<char*> out;
  out.reserve(arguments.size() + 1);
  for (std::string& a : arguments) out.push_back(a.data());
  out.push_back(nullptr);
  return out;
}

void fail_each_in_main(const char* name, bool for_good, std::vector<std::string> arguments) {
  std::vector<char*> argv = pointers(arguments);
  n_children = n_out_of_memory = n_went_on = 0;
  survivors.clear();
  const int kept = ::dup(STDOUT_FILENO), all = ::memfd_create("out", 0);
  std::fflush(nullptr);
  ::dup2(all, STDOUT_FILENO);
  fork_at_allocations(stdout_file, stderr_file, for_good, on_child_end);
  const int code = haikuda_main(static_cast<int>(arguments.size()), argv.data());
  if (is_forked_child()) ::_exit(code);
  stop_forking();
  ::dup2(kept, STDOUT_FILENO);
  const std::string want = content(all);
  ::close(kept);
  ::close(all);
  check(code == 0, std::string(name) + " ends with " + std::to_string(code));
  for (const std::string& text : survivors)
    check(without_run(text) == without_run(want), std::string(name) + ": another output: " + text);
  check(n_out_of_memory > n_children / 2, std::string(name) + ": hardly any failure was noticed");
  std::printf("%s: allocations failed: %ld, exit 6 %ld, went on %ld\n", name, n_children,
              n_out_of_memory, n_went_on);
}

// --- Memory that hostile files take ---

void measure_parser() {
  constexpr std::size_t kMost = std::size_t{64} << 20;
  std::size_t n = 0, greatest = 0;
  const auto parse = [&](std::span<const std::byte> bytes) {
    const std::size_t before = live_bytes();
    reset_peak_bytes();
    (void)end_of([&] { parse_gguf(bytes, "f"); });
    greatest = std::max(greatest, peak_bytes() - before);
    ++n;
  };
  const GgufWriter sample = sample_gguf();
  std::vector<std::byte> bytes = sample.finish();
  for (std::size_t size = 0; size < bytes.size(); ++size) parse(std::span(bytes).first(size));
  for (std::size_t i = 0; i < sample.directory_bytes(); ++i) {
    const std::byte original = bytes[i];
    for (int value = 0; value < 256; ++value) {
      bytes[i] = static_cast<std::byte>(value);
      parse(bytes);
    }
    bytes[i] = original;
  }
  for (const GgufCase& c : malformed_gguf_cases()) parse(c.bytes);
  check(greatest <= kMost, "a file takes " + std::to_string(greatest) + " bytes");
  std::printf("prefixes, changed bytes and malformed files parsed: %zu, at most %zu KiB each\n", n,
              greatest >> 10);
}

int run() {
  const TempDir folder;
  const std::string model = folder.write("tiny.gguf", good_model().finish());
  measure_parser();
  for (const int n_threads : {1, 2})
    for (const bool for_good : {false, true}) fail_each_in_library(model, n_threads, for_good);
  stdout_file = ::memfd_create("stdout", 0);
  stderr_file = ::memfd_create("stderr", 0);
  fail_each_in_main("haikuda", true,
                    {"haikuda", "-m", model, "--device", "cpu", "-t", "1", "-c", "64", "-n", "2",
                     "--temp", "0", "-q", "hello"});
  const std::string config = folder.write("config.ini", std::string_view("temp = 0.5\nseed = 1\n"));
  fail_each_in_main("haikuda --config --jsonl", false,
                    {"haikuda", "-m",         model, "--device", "cpu", "-t",       "1",
                     "-c",      "64",         "-n",  "2",        "-q",  "--config", config,
                     "--jsonl", "--logprobs", "2",   "--stop",   "x",   "hi"});
  fail_each_in_main("haikuda info", false, {"haikuda", "info", model});
  return n_failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace haikuda::test

int main() {
  ::close(STDIN_FILENO);
  return haikuda::test::run();
}
