#include "base/dtype.h"

#include <array>

#include "base/error.h"

namespace haikuda {
namespace {

constexpr std::array kTypes = {
    DTypeInfo{DType::F32, "F32", 1, 4},         DTypeInfo{DType::F16, "F16", 1, 2},
    DTypeInfo{DType::Q4_0, "Q4_0", 32, 18},     DTypeInfo{DType::Q4_1, "Q4_1", 32, 20},
    DTypeInfo{DType::Q5_0, "Q5_0", 32, 22},     DTypeInfo{DType::Q5_1, "Q5_1", 32, 24},
    DTypeInfo{DType::Q8_0, "Q8_0", 32, 34},     DTypeInfo{DType::Q2_K, "Q2_K", 256, 84},
    DTypeInfo{DType::Q3_K, "Q3_K", 256, 110},   DTypeInfo{DType::Q4_K, "Q4_K", 256, 144},
    DTypeInfo{DType::Q5_K, "Q5_K", 256, 176},   DTypeInfo{DType::Q6_K, "Q6_K", 256, 210},
    DTypeInfo{DType::IQ4_NL, "IQ4_NL", 32, 18}, DTypeInfo{DType::IQ4_XS, "IQ4_XS", 256, 136},
    DTypeInfo{DType::BF16, "BF16", 1, 2},       DTypeInfo{DType::MXFP4, "MXFP4", 32, 17},
};

// Ids of ggml's type enumeration, for messages about files we refuse.
constexpr std::array<std::string_view, 43> kGgufNames = {"F32",
                                                         "F16",
                                                         "Q4_0",
                                                         "Q4_1",
                                                         "Q4_2 (removed)",
                                                         "Q4_3 (removed)",
                                                         "Q5_0",
                                                         "Q5_1",
                                                         "Q8_0",
                                                         "Q8_1",
                                                         "Q2_K",
                                                         "Q3_K",
                                                         "Q4_K",
                                                         "Q5_K",
                                                         "Q6_K",
                                                         "Q8_K",
                                                         "IQ2_XXS",
                                                         "IQ2_XS",
                                                         "IQ3_XXS",
                                                         "IQ1_S",
                                                         "IQ4_NL",
                                                         "IQ3_S",
                                                         "IQ2_S",
                                                         "IQ4_XS",
                                                         "I8",
                                                         "I16",
                                                         "I32",
                                                         "I64",
                                                         "F64",
                                                         "IQ1_M",
                                                         "BF16",
                                                         "Q4_0_4_4 (removed)",
                                                         "Q4_0_4_8 (removed)",
                                                         "Q4_0_8_8 (removed)",
                                                         "TQ1_0",
                                                         "TQ2_0",
                                                         "IQ4_NL_4_4 (removed)",
                                                         "IQ4_NL_4_8 (removed)",
                                                         "IQ4_NL_8_8 (removed)",
                                                         "MXFP4",
                                                         "NVFP4",
                                                         "Q1_0",
                                                         "Q2_0"};

}  // namespace

std::span<const DTypeInfo> all_dtypes() {
  return kTypes;
}

const DTypeInfo& dtype_info(DType dtype) {
  for (const DTypeInfo& info : kTypes)
    if (info.dtype == dtype) return info;
  throw Error(ExitCode::internal, "dtype_info: not a supported type");
}

std::optional<DType> dtype_from_id(std::uint32_t id) {
  for (const DTypeInfo& info : kTypes)
    if (static_cast<std::uint32_t>(info.dtype) == id) return info.dtype;
  return std::nullopt;
}

std::string_view gguf_type_name(std::uint32_t id) {
  if (id >= kGgufNames.size()) return "unknown";
  return kGgufNames[id];
}

}  // namespace haikuda
