#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/map_guard.h"
#include "base/printable.h"

namespace haikuda {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error(ExitCode::model_file,
              fmt::format("cannot open model '{}': {}", printable(path), why));
}

FileStamp stamp_of(const struct stat& status) {
  const auto nanoseconds = [](const timespec& t) {
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  };
  return {status.st_size, nanoseconds(status.st_mtim)};
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  descriptor_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor_.get() < 0) fail(path_, std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0) fail(path_, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path_, "not a regular file");
  if (status.st_size == 0) fail(path_, "the file is empty");
  size_ = static_cast<std::size_t>(status.st_size);
  stamp_ = stamp_of(status);
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_.get(), 0);
  if (map == MAP_FAILED && errno == ENOMEM)
    throw Error(ExitCode::out_of_memory,
                fmt::format("cannot map model '{}': {:.1f} MiB of address space are not available",
                            printable(path_), static_cast<double>(size_) / (1 << 20)));
  if (map == MAP_FAILED)
    fail(path_, fmt::format("mmap of {} bytes: {}", size_, std::strerror(errno)));
  data_ = static_cast<const std::byte*>(map);
  guard_map(bytes());
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  release_map(bytes());
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::read(std::span<std::byte> out, std::size_t offset) const {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(descriptor_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw Error(ExitCode::model_file,
                  fmt::format("model '{}' changed or became unreadable while it was in use ({}); "
                              "check it and run again",
                              printable(path_),
                              n == 0 ? fmt::format("it ends at byte {}", offset)
                                     : std::string(std::strerror(errno))));
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::size_t>(n);
  }
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) == 0 && stamp_of(status) == stamp_) return;
  throw Error(ExitCode::model_file,
              fmt::format("model '{}' changed while it was in use, so its text is not to be "
                          "trusted; run again when it is complete",
                          printable(path_)));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::move(other.descriptor_)),
      stamp_(other.stamp_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(stamp_, other.stamp_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace haikuda
