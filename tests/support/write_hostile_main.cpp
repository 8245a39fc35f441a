// haikuda_write_hostile DIR writes every hostile case to a folder of its own, DIR/0, DIR/1, ...,
// and prints what each owes as a JSON array.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "support/hostile_cases.h"

namespace haikuda::test {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

nlohmann::json write_case(const fs::path& folder, const HostileCase& c) {
  fs::create_directories(folder);
  for (const HostileFile& file : c.files) write(folder / file.name, file.bytes);
  return {{"name", c.name},
          {"dir", folder.string()},
          {"model", (folder / c.files.front().name).string()},
          {"code", c.code ? static_cast<int>(*c.code) : 0},
          {"message", c.message},
          {"arguments", c.arguments}};
}

}  // namespace
}  // namespace haikuda::test

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: haikuda_write_hostile DIR\n");
    return 2;
  }
  try {
    nlohmann::json manifest = nlohmann::json::array();
    for (const haikuda::test::HostileCase& c : haikuda::test::hostile_cases())
      manifest.push_back(haikuda::test::write_case(
          std::filesystem::path(argv[1]) / std::to_string(manifest.size()), c));
    std::puts(manifest.dump().c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "haikuda_write_hostile: %s\n", e.what());
    return 1;
  }
}
