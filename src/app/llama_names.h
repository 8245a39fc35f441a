// The options of llama.cpp's programs that are spelt otherwise here, or that we do not have.
#pragma once

#include <string_view>

namespace haikuda {

struct LlamaName {
  std::string_view name;
  // "--long": stands for that option. "": what it asks for is what we do anyway. Else: why it is
  // refused.
  std::string_view meaning;
  // The value with which it asks for what we do anyway, so that it is not refused; empty: none.
  std::string_view usual_value = {};

  bool is_alias() const { return meaning.starts_with("--"); }
};

// nullptr when llama.cpp has no such option, or has it under our name.
const LlamaName* find_llama_name(std::string_view name);

}  // namespace haikuda
