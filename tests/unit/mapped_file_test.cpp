#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/part_workers.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace haikuda::test {
namespace {

std::string message_of(const std::string& path) {
  const Error e = error_of([&] { MappedFile file(path); });
  REQUIRE(e.code() == ExitCode::model_file);
  return e.what();
}

TEST_CASE("mapped file: what cannot be mapped is said with the path", "[base]") {
  const TempDir folder;
  const std::string base = folder.path().string();
  REQUIRE_THAT(message_of(base + "/none"), contains_text("/none") && contains_text("No such file"));
  REQUIRE_THAT(message_of(base), contains_text("not a regular file"));
  REQUIRE_THAT(message_of("/dev/zero"), contains_text("not a regular file"));
  REQUIRE(::mkfifo((base + "/fifo").c_str(), 0600) == 0);
  REQUIRE_THAT(message_of(base + "/fifo"),
               contains_text("not a regular file"));  // and does not wait for a writer
  std::ofstream(base + "/empty").close();
  REQUIRE_THAT(message_of(base + "/empty"), contains_text("empty"));
  std::filesystem::create_symlink(base + "/loop", base + "/loop");
  REQUIRE_THAT(message_of(base + "/loop"), contains_text("symbolic links"));
  REQUIRE_THAT(message_of(base + "/\x1b[31m"), contains_text("\\x1b[31m"));
}

// The exit status of a child that maps a file, loses it and reads on.
int status_after_truncation(const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    const MappedFile file(path);
    if (::truncate(path.c_str(), 0) != 0) ::_exit(99);
    const volatile std::byte* bytes = file.bytes().data();
    ::_exit(static_cast<int>(bytes[file.bytes().size() - 1]) == 1 ? 97 : 98);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST_CASE("mapped file: a file truncated under the map ends with exit code 3, not with a signal",
          "[base]") {
  const TempDir folder;
  const std::string path = (folder.path() / "model").string();
  std::ofstream(path) << std::string(100000, 'x');
  REQUIRE(status_after_truncation(path) == static_cast<int>(ExitCode::model_file));
}

TEST_CASE("mapped file: reading gives the bytes of the map, from several threads too", "[base]") {
  const TempDir folder;
  const std::string path = (folder.path() / "model").string();
  std::string text;
  for (int i = 0; i < 100000; ++i) text += static_cast<char>(i * 7 + i / 256);
  std::ofstream(path) << text;
  const MappedFile file(path);
  std::atomic<int> n_wrong = 0;
  PartWorkers readers(100, 4, [&](PartQueue& parts, int) {
    while (const auto part = parts.next()) {
      const std::size_t begin = *part * 997, n = std::min(*part * 31, text.size() - begin);
      std::vector<std::byte> out(n);
      file.read(out, begin);
      if (!std::equal(out.begin(), out.end(), file.bytes().begin() + static_cast<long>(begin)))
        ++n_wrong;
    }
  });
  readers.wait();
  CHECK(n_wrong == 0);
}

TEST_CASE("mapped file: reading what a file no longer has is an error of the model", "[base]") {
  const TempDir folder;
  const std::string path = (folder.path() / "model").string();
  std::ofstream(path) << std::string(100000, 'x');
  const MappedFile file(path);
  REQUIRE(::truncate(path.c_str(), 60000) == 0);
  std::vector<std::byte> out(70000);
  file.read(std::span(out).first(60000), 0);
  PartWorkers readers(7, 2, [&](PartQueue& parts, int) {
    while (const auto part = parts.next())
      file.read(std::span(out).subspan(*part * 10000, 10000), *part * 10000);
  });
  const Error e = error_of([&] { readers.wait(); });
  CHECK(e.code() == ExitCode::model_file);
  CHECK_THAT(e.what(), contains_text("while it was in use (it ends at byte 60000)"));
}

}  // namespace
}  // namespace haikuda::test
