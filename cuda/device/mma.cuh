// The matrix units of a warp (sm_80 and later), PTX ISA "mma.m16n8k16", and what feeds them. In all
// tiles a lane has row lane / 4 and the columns 2 (lane % 4) and the next.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace haikuda::cuda {

// Four 8 x 8 tiles of halves from shared memory: lanes 8i … 8i + 7 name the rows, of 16 bytes each,
// of tile i.
__device__ inline void load_tiles(std::uint32_t (&tiles)[4], const void* row) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(address)
               : "memory");
#endif
}
// The same transposed.
__device__ inline void load_tiles_transposed(std::uint32_t (&tiles)[4], const void* row) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(address)
               : "memory");
#endif
}

// sum (16, 8) += a (16, 16) · b (16, 8). a: tiles of rows 0-7 and 8-15 of columns 0-7, then the
// same of columns 8-15. b: tiles of rows 0-7 and 8-15, each transposed. sum: rows 0-7, then 8-15.
__device__ inline void multiply_add(float (&sum)[4],
                                    const std::uint32_t (&a)[4],
                                    std::uint32_t b_low,
                                    std::uint32_t b_high) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
#endif
}

// The same of BF16.
__device__ inline void multiply_add_bf16(float (&sum)[4],
                                         const std::uint32_t (&a)[4],
                                         std::uint32_t b_low,
                                         std::uint32_t b_high) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
#endif
}

// Two values as the lower and the upper half of a register.
__device__ inline std::uint32_t pack_halves(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

// 2^x to 2 units in the last place, 0 below 2^-126.
__device__ inline float fast_exp2(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

}  // namespace haikuda::cuda
