#include "app/find_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "app/metadata_overrides.h"
#include "app/model_inside.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::string model_folder() {
  if (const auto folder = environment("HAIKUDA_MODELS")) return *folder;
  if (const auto cache = environment("XDG_CACHE_HOME")) return *cache + "/haikuda/models";
  return environment("HOME").value_or("") + "/.cache/haikuda/models";
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name[0] != '.';
}

}  // namespace

ModelFiles open_model(const std::string& path_or_name) {
  if (path_or_name.empty()) return open_model_bytes(model_inside(), "the model inside");
  if (exists(path_or_name) || !is_plain_name(path_or_name)) return open_model_files(path_or_name);
  const std::string fetched = fmt::format("{}/{}.gguf", model_folder(), path_or_name);
  if (exists(fetched)) return open_model_files(fetched);
  throw Error(ExitCode::model_file,
              fmt::format("cannot open model '{0}': there is no such file, and no fetched model of "
                          "that name in {1}; "
                          "scripts/fetch_model.sh lists and fetches models",
                          printable(path_or_name), printable(model_folder())));
}

ModelFiles open_model(const ModelOptions& options) {
  ModelFiles files = open_model(options.model);
  apply_overrides(options.overrides, files.metadata);
  return files;
}

}  // namespace haikuda
