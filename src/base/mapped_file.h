// A file mapped read-only and private. The bytes may still change under the map if another process
// writes to the file; whoever reads them must not trust what it validated earlier. Bytes that
// vanish end the process: map_guard.h.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace haikuda {

class MappedFile {
 public:
  // Throws Error(model_file) naming the path when it is missing, unreadable, empty or no regular
  // file.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace haikuda
