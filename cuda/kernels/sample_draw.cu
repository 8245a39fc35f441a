// The second half of sampling: one block finds the k likeliest tokens, sorts and truncates them,
// and draws one. Double precision and the host's formulas (src/infer/sampler_*.cpp); only sums are
// taken in another order. Bound by latency.
#include "cuda/device/async.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/sample.cuh"
#include "infer/random.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kMaximaEach = kSampleGroups / kThreads;
constexpr int kRoom = 2048;  // candidates that can be sorted
static_assert(kMostTopK <= kThreads && kMostTopK <= kRoom);

struct Shared {
  std::uint64_t keys[kRoom];
  int ids[kRoom];
  std::uint16_t groups[kSampleGroups];  // that may hold one of the k likeliest
  int n_groups, n_found, first;
  int counts[2][kWarps];
  double sums[kWarps];
};

// x of all threads summed: no barrier is needed before the next call, which takes the other half
// of `counts`.
__device__ int block_count(Shared& s, int warp_count, int turn) {
  const int lane = threadIdx.x % kWarpSize;
  if (lane == 0) s.counts[turn % 2][threadIdx.x / kWarpSize] = warp_count;
  __syncthreads();
  int sum = s.counts[turn % 2][lane];
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  return sum;
}

// Tokens that are at least as likely as `bound`.
__device__ bool reaches(const Ranked& x, const Ranked& bound) {
  return !is_likelier(bound, x);
}

// A bound that at least k and at most `most` tokens reach; fewer than k only where there are fewer,
// and then all reach it. count(bound), by the whole block, says how many reach a bound, and is the
// same for all threads. Bit by bit from the top: first of the key, then, among equal keys, of the
// id. As ids differ, it ends with exactly k at the latest.
template <class Count>
__device__ Ranked find_bound(int k, int most, const Count& count) {
  Ranked bound{1, INT_MAX};
  int reached = INT_MAX;
  for (std::uint64_t bit = std::uint64_t{1} << 63; bit != 0 && reached > most; bit >>= 1) {
    const Ranked higher{(bound.key == 1 ? 0 : bound.key) | bit, INT_MAX};
    const int n = count(higher);
    if (n >= k) bound = higher, reached = n;
  }
  if (reached == INT_MAX || reached <= most) return bound;
  for (int bit = 1 << 30; bit != 0 && reached > most; bit >>= 1) {
    const Ranked lower{bound.key, bound.id - bit};
    const int n = count(lower);
    if (n >= k) bound = lower, reached = n;
  }
  return bound;
}

// Sorts the first n (a power of two) of keys and ids by `comes_first`.
template <class First>
__device__ void sort(Shared& s, int n, const First& comes_first) {
  for (int size = 2; size <= n; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      for (int pair = threadIdx.x; pair < n / 2; pair += kThreads) {
        const int a = 2 * pair - (pair & (stride - 1)), b = a + stride;
        const Ranked x{s.keys[a], s.ids[a]}, y{s.keys[b], s.ids[b]};
        if (((a & size) == 0) == comes_first(y, x)) {
          s.keys[a] = y.key, s.ids[a] = y.id;
          s.keys[b] = x.key, s.ids[b] = x.id;
        }
      }
      __syncthreads();
    }
}

__device__ int power_of_two_from(int n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

// The sum of x over the threads up to this one; `total` over all.
__device__ double sum_up_to(Shared& s, double x, double& total) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const double other = __shfl_up_sync(kAllLanes, x, distance);
    if (lane >= distance) x += other;
  }
  if (lane == kWarpSize - 1) s.sums[warp] = x;
  __syncthreads();
  double before = 0;
  total = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w == warp) before = total;
    total += s.sums[w];
  }
  __syncthreads();
  return before + x;
}

// The lowest thread whose condition holds, or `none`.
__device__ int first_thread(Shared& s, bool condition, int none) {
  if (threadIdx.x == 0) s.first = none;
  __syncthreads();
  if (condition) atomicMin(&s.first, static_cast<int>(threadIdx.x));
  __syncthreads();
  const int first = s.first;
  __syncthreads();
  return first;
}

// Fills s.keys and s.ids with candidates among which are the k likeliest; returns their number.
__device__ int find_candidates(Shared& s, const SampleBuffers& b, const CommonChain& chain) {
  const int k = chain.top_k;
  Ranked maxima[kMaximaEach];
#pragma unroll
  for (int j = 0; j < kMaximaEach; ++j) {
    const int group = threadIdx.x + j * kThreads;
    maxima[j] = {__ldcg(b.keys + group), __ldcg(b.ids + group)};
  }
  int turn = 0;
  Ranked bound = find_bound(k, k + k / 4 + 8, [&](const Ranked& x) {
    int n = 0;
#pragma unroll
    for (int j = 0; j < kMaximaEach; ++j)
      n += __popc(__ballot_sync(kAllLanes, reaches(maxima[j], x)));
    return block_count(s, n, turn++);
  });
  if (threadIdx.x == 0) s.n_groups = 0, s.n_found = 0;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kMaximaEach; ++j)
    if (reaches(maxima[j], bound))
      s.groups[atomicAdd(&s.n_groups, 1)] = static_cast<std::uint16_t>(threadIdx.x + j * kThreads);
  __syncthreads();

  const int n_rounds = (b.n_vocab + kMaximaThreads - 1) / kMaximaThreads;
  const int n_of_group = kGroupLanes * n_rounds;
  const int n_tokens = s.n_groups * n_of_group;
  const auto token = [&](int i) {
    if (i >= n_tokens) return nobody();
    const int of_group = i % n_of_group;
    const int id = s.groups[i / n_of_group] * kGroupLanes + of_group % kGroupLanes +
                   of_group / kGroupLanes * kMaximaThreads;
    return id < b.n_vocab ? ranked(b, chain, id) : nobody();
  };
  const auto collect = [&] {
    for (int i = threadIdx.x; i < n_tokens; i += kThreads) {
      const Ranked x = token(i);
      if (!reaches(x, bound)) continue;
      const int at = atomicAdd(&s.n_found, 1);
      if (at < kRoom) s.keys[at] = x.key, s.ids[at] = x.id;
    }
    __syncthreads();
    return s.n_found;
  };
  const int n = collect();
  if (n <= kRoom) return n;
  // Many of the likeliest lie in few groups: a higher bound, by reading them again and again.
  bound = find_bound(k, kRoom, [&](const Ranked& x) {
    int of_warp = 0;
    for (int first = 0; first < n_tokens; first += kThreads)
      of_warp += __popc(
          __ballot_sync(kAllLanes, reaches(token(first + static_cast<int>(threadIdx.x)), x)));
    return block_count(s, of_warp, turn++);
  });
  __syncthreads();
  if (threadIdx.x == 0) s.n_found = 0;
  __syncthreads();
  return collect();
}

// Of the n likeliest, sorted, those that top-p and min-p leave: the first so many. Thread i has the
// logit of number i.
__device__ int truncated(Shared& s, const CommonChain& chain, double logit, int n) {
  const int i = static_cast<int>(threadIdx.x);
  const double greatest = logit_of(s.keys[0]);
  if (chain.top_p < 1) {
    double total;
    const double sum = sum_up_to(s, i < n ? exp(logit - greatest) : 0.0, total);
    const bool is_enough = sum / total >= chain.top_p && i + 1 >= chain.min_keep;
    n = first_thread(s, i < n && is_enough, n - 1) + 1;
  }
  if (chain.has_min_p) {
    const int kept = first_thread(s, i >= n || logit < __dadd_rn(greatest, chain.log_min_p), n);
    n = kept < chain.min_keep ? min(chain.min_keep, n) : kept;
  }
  return n;
}

// One of the n likeliest, each with its share of [0, 1) in order of id. Thread i has the logit of
// number i.
__device__ int drawn(Shared& s, const CommonChain& chain, double logit, int n, double uniform_01) {
  const int i = static_cast<int>(threadIdx.x);
  const double greatest = logit_of(s.keys[0]) / chain.temperature;
  const double weight = i < n ? exp(logit / chain.temperature - greatest) : 0.0;
  __syncthreads();
  const int size = power_of_two_from(n);
  if (i < size) {
    s.keys[i] = static_cast<std::uint64_t>(__double_as_longlong(weight));
    if (i >= n) s.ids[i] = INT_MAX;
  }
  __syncthreads();
  sort(s, size, [](const Ranked& a, const Ranked& b) { return a.id < b.id; });
  const double mine = i < n ? __longlong_as_double(static_cast<long long>(s.keys[i])) : 0.0;
  double total;
  const double sum = sum_up_to(s, mine, total);
  const double target = __dmul_rn(uniform_01, total);
  const int first = first_thread(s, mine > 0 && sum > target, kThreads);
  if (first < kThreads) return s.ids[first];
  int last = n - 1;  // rounding left nobody: the last that has any weight
  while (last > 0 && s.keys[last] == 0) --last;
  return s.ids[last];
}

// The likeliest of all: the likeliest of the groups' likeliest.
__device__ int likeliest(Shared& s, const SampleBuffers& b) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const auto best_of_warp = [](Ranked best) {
#pragma unroll
    for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
      const Ranked other{__shfl_xor_sync(kAllLanes, best.key, distance),
                         __shfl_xor_sync(kAllLanes, best.id, distance)};
      if (is_likelier(other, best)) best = other;
    }
    return best;
  };
  Ranked best = nobody();
#pragma unroll
  for (int j = 0; j < kMaximaEach; ++j) {
    const int group = threadIdx.x + j * kThreads;
    const Ranked next{__ldcg(b.keys + group), __ldcg(b.ids + group)};
    if (is_likelier(next, best)) best = next;
  }
  best = best_of_warp(best);
  if (lane == 0) s.keys[warp] = best.key, s.ids[warp] = best.id;
  __syncthreads();
  return best_of_warp({s.keys[lane], s.ids[lane]}).id;
}

__device__ int sample(Shared& s, const SampleBuffers& b, const CommonChain& chain, int position) {
  if (chain.top_k == 1) return likeliest(s, b);
  const int n_found = find_candidates(s, b, chain);
  const int size = power_of_two_from(n_found);
  for (int i = n_found + static_cast<int>(threadIdx.x); i < size; i += kThreads)
    s.keys[i] = nobody().key, s.ids[i] = nobody().id;
  __syncthreads();
  sort(s, size, is_likelier);
  int n = min(n_found, chain.top_k);
  const double logit = static_cast<int>(threadIdx.x) < n ? logit_of(s.keys[threadIdx.x]) : 0.0;
  n = truncated(s, chain, logit, n);
  const auto n_history = static_cast<std::uint64_t>(position);
  return drawn(s, chain, logit, n, uniform(chain.seed, n_history, RandomStream::token));
}

__global__ __launch_bounds__(kThreads, 1) void sample_draw_kernel(SampleBuffers b) {
  __shared__ Shared shared;
  let_dependents_start();
  wait_for_predecessors();
  const CommonChain chain = b.state->chain;
  const int position = *b.position + 1;  // of the new token, the number of those before it
  const int token = sample(shared, b, chain, position);
  if (threadIdx.x == 0) publish_token(b, chain, token, position), *b.position = position;
}

constexpr int kGreedyThreads = 256;

__global__ __launch_bounds__(kGreedyThreads) void sample_greedy_kernel(SampleBuffers b,
                                                                       const ArgmaxResult* partial,
                                                                       int n_partial,
                                                                       int n_ahead) {
  __shared__ bool has_bad;
  let_dependents_start();
  wait_for_predecessors();
  ArgmaxResult best = no_value();
  for (int i = threadIdx.x; i < n_partial; i += kGreedyThreads) best = merged(best, partial[i]);
  best = block_argmax(best);
  if (threadIdx.x == 0) has_bad = best.n_not_finite > 0;
  __syncthreads();
  if (has_bad) {
    find_not_finite(b, static_cast<int>(threadIdx.x), kGreedyThreads);
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    const int position = *b.position + n_ahead + 1;
    publish_token(b, b.state->chain, token_of(best), position);
    *b.position = position;
  }
}

}  // namespace

void sample_greedy(const SampleBuffers& buffers,
                   const ArgmaxResult* partial,
                   int n_partial,
                   int n_ahead,
                   cudaStream_t stream) {
  launch_dependent(sample_greedy_kernel, grid_of(1), kGreedyThreads, 0, stream, buffers, partial,
                   n_partial, n_ahead);
}

void launch_sample_draw(const SampleBuffers& buffers, cudaStream_t stream) {
  launch_dependent(sample_draw_kernel, grid_of(1), kThreads, 0, stream, buffers);
}

}  // namespace haikuda::cuda
