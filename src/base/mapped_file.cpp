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

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error(ExitCode::model_file,
              fmt::format("cannot open model '{}': {}", printable(path), why));
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const Descriptor fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) fail(path_, std::strerror(errno));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail(path_, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path_, "not a regular file");
  if (status.st_size == 0) fail(path_, "the file is empty");
  size_ = static_cast<std::size_t>(status.st_size);
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
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

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace haikuda
