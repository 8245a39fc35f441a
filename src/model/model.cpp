#include "model/model.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace haikuda {

std::string Model::description() const {
  double n_params = 0;
  std::map<DType, std::size_t> bytes;
  for (const TensorView& t : files.tensors) {
    n_params += static_cast<double>(t.size());
    bytes[t.dtype] += t.bytes();
  }
  const auto most = std::max_element(bytes.begin(), bytes.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  const std::string size = n_params < 1e9 ? fmt::format("{:.3g}M", n_params / 1e6)
                                          : fmt::format("{:.3g}B", n_params / 1e9);
  return fmt::format("{} {} {}", config.architecture.name, size, dtype_name(most->first));
}

}  // namespace haikuda
