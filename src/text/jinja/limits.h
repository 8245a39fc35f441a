// What a template may use. A GGUF file can carry any template: these bounds keep a hostile one to a
// second or two and a few hundred MiB, and are far above what a real one needs (a long chat takes
// ~100 steps a turn).
#pragma once

#include <cstddef>
#include <cstdint>

namespace haikuda::jinja {

constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxSteps = 500'000;   // expression nodes, statements, items and KiB handled
constexpr std::size_t kBytesPerStep = 1024;  // what handling a long string or list costs
constexpr std::size_t kBytesPerItem = 64;    // what one item of a list counts as
constexpr std::size_t kBytesPerChar = 4;     // what one byte counts as where characters are decoded
constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20;  // the output, and any one string
constexpr std::int64_t kMaxRange = 1'000'000;                 // items of range()
constexpr int kMaxNesting = 100;            // blocks and brackets in the source; macro calls; JSON
constexpr std::size_t kMaxNameBytes = 256;  // of an identifier
constexpr std::size_t kMaxArguments = 256;  // of a call, parameters of a macro
constexpr int kMaxDepth = 1000;             // recursion of the interpreter: bounds its stack

}  // namespace haikuda::jinja
