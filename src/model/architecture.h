// What differs between the Llama-shaped architectures we run: one row each.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace haikuda {

// How RoPE pairs the elements of a head: (2i, 2i+1) or (i, i + n/2).
enum class RopeStyle { interleaved, neox };

enum class Presence { never, optional, required };

struct Architecture {
  std::string_view name;  // general.architecture, and the prefix of its keys
  RopeStyle rope;
  Presence qkv_bias;
  Presence qk_norm;  // RMSNorm of each head of q and k, before RoPE
};

std::span<const Architecture> all_architectures();
// Throws Error(unsupported) that lists what is supported.
const Architecture& find_architecture(std::string_view name, const std::string& file_name);

}  // namespace haikuda
