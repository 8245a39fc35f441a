// How the rows of the products of the kernel that decodes a token are shared out over blocks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cuda/device_tensor.h"
#include "cuda/device_weights.h"
#include "cuda/kernels/token_step.h"

namespace haikuda::cuda {

constexpr std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}
constexpr int ceil_of(int a, int b) {
  return (a + b - 1) / b;
}
constexpr int pairs_of(int rows) {
  return ceil_of(rows, kTokenRows);
}

// Those that take a step.
struct BlockRange {
  int first, n;
};
// Rows of matrices one after the other, or of alternating gates and ups, with the same x.
TokenShape token_shape(TokenOutput output,
                       std::span<const DeviceTensor> matrices,
                       BlockRange blocks);
// The products of a layer by TokenStepOfLayer, then the head. Shapes: rows and bytes, not yet
// slots (token_slots.h).
struct TokenSteps {
  std::vector<TokenShape> shapes;
  std::vector<TokenStep> steps;
  int n_blocks_of_v;  // TokenParams
};
TokenSteps token_steps(const DeviceWeights& weights, int n_blocks);
// That of all matrices together; none: the kernel does not take them.
TokenKind kind_of(const DeviceWeights& weights);

// Whether a kernel of this kind, for these types, has this one.
bool has_type(TokenKind kind, IntegerTypes types, DType dtype);
// The fewest that have those of the shapes.
IntegerTypes integer_types(std::span<const TokenShape> shapes);

}  // namespace haikuda::cuda
