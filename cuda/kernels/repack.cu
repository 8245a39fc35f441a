// From the blocks of a file to the planes that kernels read (cuda/layout.h). Bound by memory; runs
// once, behind the copy of each matrix. Bytes are moved, never rounded: device/decoders.cuh decodes
// the planes to the bits that quant/dequantize.cpp decodes the blocks to.
#include "cuda/device/decoders.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 128;

// Where the parts of one block go.
struct BlockPlanes {
  std::uint8_t* data[kMaxPlanes];
};

// n bytes, an even number, from an address aligned to 2 to one aligned to min(n, 16).
template <int kBytes>
__device__ void copy_bytes(std::uint8_t* out, const std::uint8_t* in) {
  static_assert(kBytes == 2 || kBytes % 4 == 0);
  if constexpr (kBytes == 2) {
    *reinterpret_cast<std::uint16_t*>(out) = *reinterpret_cast<const std::uint16_t*>(in);
  } else {
#pragma unroll
    for (int i = 0; i < kBytes; i += 4)
      *reinterpret_cast<std::uint32_t*>(out + i) = load_u32<2>(in + i);
  }
}

// Bit j of the file's word belongs to element j; here to bit 8 (j % 4) + j / 4, so that the bits of
// four neighbours are one shift and one mask away from their bytes.
__device__ std::uint32_t spread_fifth_bits(std::uint32_t qh) {
  std::uint32_t out = 0;
  for (int j = 0; j < 32; ++j) out |= (qh >> j & 1u) << (8 * (j % 4) + j / 4);
  return out;
}

// Blocks of 32: kScaleBytes of scale (and minimum), perhaps 4 of fifth bits, then the quants.
template <class Block, int kScaleBytes, bool kHasFifthBits>
struct SmallBlocks {
  static constexpr int kBlockBytes = sizeof(Block);
  static __device__ void repack(const BlockPlanes& out, const std::uint8_t* block) {
    constexpr int kFifthBytes = kHasFifthBits ? 4 : 0;
    constexpr int kQuantBytes = kBlockBytes - kScaleBytes - kFifthBytes;
    copy_bytes<kScaleBytes>(out.data[1], block);
    copy_bytes<kQuantBytes>(out.data[0], block + kScaleBytes + kFifthBytes);
    if constexpr (kHasFifthBits)
      *reinterpret_cast<std::uint32_t*>(out.data[2]) =
          spread_fifth_bits(load_u32<2>(block + kScaleBytes));
  }
};

// Those of sub-block s; get_scale_min_k4 of llama.cpp's ggml-quants.c.
__device__ inline ScaleMin scale_min_k4(const std::uint8_t (&packed)[12], int s) {
  if (s < 4) return {packed[s] & 63, packed[s + 4] & 63};
  return {(packed[s + 4] & 15) | packed[s - 4] >> 6 << 4, packed[s + 4] >> 4 | packed[s] >> 6 << 4};
}

// The 16 bytes of scales of Q4_K and Q5_K: d and dmin; then byte c of each of three words belongs
// to sub-blocks 2c and 2c + 1, as 24 bits: scale, minimum, scale, minimum.
__device__ void repack_k4_scales(std::uint8_t* out, const std::uint8_t* block) {
  std::uint8_t packed[12];
  for (int i = 0; i < 12; ++i) packed[i] = block[4 + i];
  auto* words = reinterpret_cast<std::uint32_t*>(out);
  words[0] = load_u32<2>(block);
  std::uint32_t fields[3] = {0, 0, 0};
  for (int c = 0; c < 4; ++c) {
    const ScaleMin low = scale_min_k4(packed, 2 * c), high = scale_min_k4(packed, 2 * c + 1);
    const std::uint32_t bits = static_cast<std::uint32_t>(low.scale | low.minimum << 6 |
                                                          high.scale << 12 | high.minimum << 18);
    for (int i = 0; i < 3; ++i) fields[i] |= (bits >> 8 * i & 0xffu) << 8 * c;
  }
  for (int i = 0; i < 3; ++i) words[1 + i] = fields[i];
}

struct Q4KBlocks {
  static constexpr int kBlockBytes = sizeof(BlockQ4_K);
  static __device__ void repack(const BlockPlanes& out, const std::uint8_t* block) {
    repack_k4_scales(out.data[1], block);
    copy_bytes<128>(out.data[0], block + 16);
  }
};

// Fifth bits as in Q5_0, a word for each 16 bytes of nibbles.
struct Q5KBlocks {
  static constexpr int kBlockBytes = sizeof(BlockQ5_K);
  static __device__ void repack(const BlockPlanes& out, const std::uint8_t* block) {
    repack_k4_scales(out.data[1], block);
    copy_bytes<128>(out.data[0], block + 48);
    const std::uint8_t* qh = block + 16;
    for (int unit = 0; unit < 8; ++unit) {
      std::uint32_t bits = 0;
      for (int i = 0; i < 16; ++i) {
        const std::uint32_t byte = qh[16 * (unit % 2) + i];
        const int at = 8 * (i % 4) + i / 4, sub_block = unit / 2 * 2;
        bits |= (byte >> sub_block & 1u) << at | (byte >> (sub_block + 1) & 1u) << (at + 4);
      }
      reinterpret_cast<std::uint32_t*>(out.data[2])[unit] = bits;
    }
  }
};

// Unit u = 4n + r of 16 bytes of low nibbles holds elements 128n + 16r … (low) and 64 further
// (high). Its two scales are bytes 2u and 2u + 1; its upper bits two words, low and high, bits 2w
// of byte i for element 4w + i.
struct Q6KBlocks {
  static constexpr int kBlockBytes = sizeof(BlockQ6_K);
  static __device__ void repack(const BlockPlanes& out, const std::uint8_t* block) {
    copy_bytes<128>(out.data[0], block);
    copy_bytes<2>(out.data[3], block + 208);
    const std::uint8_t *qh = block + 128, *scales = block + 192;
    for (int unit = 0; unit < 8; ++unit) {
      const int n = unit / 4, r = unit % 4;
      for (int half = 0; half < 2; ++half) {
        out.data[1][2 * unit + half] = scales[8 * n + 4 * half + r];
        std::uint32_t bits = 0;
        for (int i = 0; i < 16; ++i) {
          const std::uint32_t byte = qh[32 * n + 16 * (r % 2) + i];
          bits |= (byte >> 2 * (2 * half + r / 2) & 3u) << (8 * (i % 4) + 2 * (i / 4));
        }
        reinterpret_cast<std::uint32_t*>(out.data[2])[2 * unit + half] = bits;
      }
    }
  }
};

// One thread a block.
template <class Blocks>
__global__ __launch_bounds__(kThreads) void repack_kernel(MatrixPlanes planes,
                                                          const std::uint8_t* __restrict__ blocks,
                                                          std::int64_t first,
                                                          std::int64_t n,
                                                          int blocks_per_row,
                                                          int4 plane_bytes) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  const int bytes[kMaxPlanes] = {plane_bytes.x, plane_bytes.y, plane_bytes.z, plane_bytes.w};
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n;
       i += step) {
    const std::int64_t row = (first + i) / blocks_per_row;
    const std::int64_t at = first + i - row * blocks_per_row;
    BlockPlanes out;
#pragma unroll
    for (int p = 0; p < kMaxPlanes; ++p)
      out.data[p] = const_cast<std::uint8_t*>(planes.data[p]) + row * planes.stride + at * bytes[p];
    Blocks::repack(out, blocks + i * Blocks::kBlockBytes);
    if (at + 1 < blocks_per_row) continue;
      // What fills the row up to a multiple of 16 bytes is read with it.
#pragma unroll
    for (int p = 0; p < kMaxPlanes; ++p)
      for (std::int64_t byte = blocks_per_row * bytes[p]; byte < planes.row_bytes[p]; ++byte)
        const_cast<std::uint8_t*>(planes.data[p])[row * planes.stride + byte] = 0;
  }
}

template <class F>
void dispatch_repacked(DType dtype, F&& f) {
  switch (dtype) {
    case DType::Q4_0:
    case DType::IQ4_NL:
      return f(SmallBlocks<BlockQ4_0, 2, false>{});
    case DType::Q4_1:
      return f(SmallBlocks<BlockQ4_1, 4, false>{});
    case DType::Q5_0:
      return f(SmallBlocks<BlockQ5_0, 2, true>{});
    case DType::Q5_1:
      return f(SmallBlocks<BlockQ5_1, 4, true>{});
    case DType::Q8_0:
      return f(SmallBlocks<BlockQ8_0, 2, false>{});
    case DType::Q4_K:
      return f(Q4KBlocks{});
    case DType::Q5_K:
      return f(Q5KBlocks{});
    case DType::Q6_K:
      return f(Q6KBlocks{});
    default:
      throw Error(ExitCode::internal, std::string("no repacking of ") + dtype_name(dtype));
  }
}

}  // namespace

void repack(const DeviceTensor& w,
            const std::byte* blocks,
            std::int64_t first,
            std::int64_t n,
            cudaStream_t stream) {
  const int blocks_per_row = w.cols / dtype_info(w.dtype).block_elems;
  const auto bytes = block_plane_bytes(w.dtype);
  dispatch_repacked(w.dtype, [&](auto type) {
    launch(repack_kernel<decltype(type)>, grid_for(n, kThreads), kThreads, stream, planes_of(w),
           reinterpret_cast<const std::uint8_t*>(blocks), first, n, blocks_per_row,
           make_int4(bytes[0], bytes[1], bytes[2], bytes[3]));
  });
}

}  // namespace haikuda::cuda
