// A file mapped read-only and private. The bytes may still change under the map if another process
// writes to the file; whoever reads them must not trust what it validated earlier. Bytes that
// vanish end the process: map_guard.h.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace haikuda {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;  // -1: none
};

// What changes when somebody writes to a file.
struct FileStamp {
  std::int64_t bytes = 0, modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

class MappedFile {
 public:
  // Throws Error(model_file) naming the path when it is missing, unreadable, empty or no regular
  // file, Error(out_of_memory) when there is no address space for it.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Copies bytes as the file holds them now, without a fault for each page of the map. Throws
  // Error(model_file) when it no longer has them. Safe from several threads.
  void read(std::span<std::byte> out, std::size_t offset) const;
  // Throws Error(model_file) when the file was written to since it was opened. One that was moved,
  // deleted or replaced is still the same here.
  void check_unchanged() const;

 private:
  std::string path_;
  Descriptor descriptor_;
  FileStamp stamp_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace haikuda
