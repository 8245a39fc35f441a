// Times what a layer's prompt goes through: each op and product alone, over buffers that are random
// and rotated, then the layer in order, launched one by one and as a graph.
//   haikuda_prefill_bench [WORD …]   only lines that have all words, e.g. 7B 2048
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/layout.h"
#include "cuda/ops.h"
#include "cuda/resources.h"

namespace haikuda::cuda {
namespace {

struct ModelShape {
  const char* name;
  int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab;
  int q_size() const { return n_heads * head_dim; }
  int kv_size() const { return n_kv_heads * head_dim; }
  int qkv_size() const { return q_size() + 2 * kv_size(); }
};
constexpr ModelShape kModels[] = {{"0.5B", 24, 896, 14, 2, 64, 4864, 151936},
                                  {"7B", 28, 3584, 28, 4, 128, 18944, 152064}};
constexpr DType kTypes[] = {DType::F16, DType::Q8_0, DType::Q4_K, DType::Q5_0, DType::Q6_K};

// Microseconds that one of `n` runs of `enqueue` takes, after two that do not count.
class Clock {
 public:
  explicit Clock(const Stream& stream) : stream_(stream) {
    CUDA_CHECK(cudaEventCreate(&start_));
    CUDA_CHECK(cudaEventCreate(&end_));
  }
  ~Clock() {
    ignore_cuda(cudaEventDestroy(start_));
    ignore_cuda(cudaEventDestroy(end_));
  }
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  double time_us(int n, const std::function<void(int)>& enqueue) const {
    for (int i = 0; i < 2; ++i) enqueue(i);
    double best = 1e30;
    for (int repeat = 0; repeat < 3; ++repeat) {
      CUDA_CHECK(cudaEventRecord(start_, stream_.get()));
      for (int i = 0; i < n; ++i) enqueue(i);
      CUDA_CHECK(cudaEventRecord(end_, stream_.get()));
      stream_.synchronize();
      float ms = 0;
      CUDA_CHECK(cudaEventElapsedTime(&ms, start_, end_));
      best = std::min(best, 1000.0 * static_cast<double>(ms) / n);
    }
    return best;
  }

 private:
  const Stream& stream_;
  cudaEvent_t start_ = nullptr, end_ = nullptr;
};

// Halves between -1 and 1 of no pattern: times depend on the values' bits.
void fill_random(const DeviceBuffer<__half>& out, float scale, const Stream& stream) {
  constexpr std::size_t kPeriod = 1 << 20;
  std::vector<__half> values(std::min(kPeriod, out.size()));
  std::uint64_t state = 88172645463325252u;
  for (__half& x : values) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    x = __float2half_rn(scale * (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f));
  }
  for (std::size_t done = 0; done < out.size(); done += values.size())
    CUDA_CHECK(cudaMemcpyAsync(out.data() + done, values.data(),
                               std::min(values.size(), out.size() - done) * sizeof(__half),
                               cudaMemcpyHostToDevice, stream.get()));
  stream.synchronize();
}
// Random bytes whose halves are small, as far as scales of blocks are concerned.
void fill_bytes(const DeviceBuffer<std::byte>& out, const Stream& stream) {
  constexpr std::size_t kPeriod = 1 << 20;
  std::vector<std::uint8_t> values(kPeriod);
  std::uint64_t state = 88172645463325252u;
  for (std::uint8_t& x : values) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    x = static_cast<std::uint8_t>(state >> 40) & 0x2f;
  }
  for (std::size_t done = 0; done < out.bytes(); done += kPeriod)
    CUDA_CHECK(cudaMemcpyAsync(out.data() + done, values.data(),
                               std::min(kPeriod, out.bytes() - done), cudaMemcpyHostToDevice,
                               stream.get()));
  stream.synchronize();
}

// The matrices of a layer in one type, several layers of them where the cache would hold one.
class Layers {
 public:
  Layers(const ModelShape& m, DType type, const Stream& stream) : m_(m), type_(type) {
    const std::size_t one = layer_bytes();
    n_ = std::clamp(static_cast<int>(400e6 / static_cast<double>(one)), 1, 6);
    storage_ = DeviceBuffer<std::byte>(one * static_cast<std::size_t>(n_));
    if (type == DType::F16) {
      halves_ = std::make_unique<DeviceBuffer<__half>>(storage_.bytes() / sizeof(__half));
      fill_random(*halves_, 0.03f, stream);
    } else {
      fill_bytes(storage_, stream);
    }
  }
  enum Matrix { q, k, v, o, gate, up, down };
  DeviceTensor matrix(Matrix which, int i) const {
    std::size_t at = layer_bytes() * static_cast<std::size_t>(i % n_);
    for (int j = 0; j < which; ++j) at += bytes_of(static_cast<Matrix>(j));
    const std::byte* base =
        halves_ ? reinterpret_cast<const std::byte*>(halves_->data()) : storage_.data();
    return {type_, rows_of(which), cols_of(which), base + at};
  }
  std::vector<DeviceTensor> matrices(Matrix first, Matrix last, int i) const {
    std::vector<DeviceTensor> out;
    for (int j = first; j <= last; ++j) out.push_back(matrix(static_cast<Matrix>(j), i));
    return out;
  }

 private:
  int rows_of(Matrix which) const {
    const int rows[] = {m_.q_size(), m_.kv_size(), m_.kv_size(), m_.n_embd,
                        m_.n_ff,     m_.n_ff,      m_.n_embd};
    return rows[which];
  }
  int cols_of(Matrix which) const {
    return which == o ? m_.q_size() : which == down ? m_.n_ff : m_.n_embd;
  }
  std::size_t bytes_of(Matrix which) const {
    return (matrix_bytes(type_, rows_of(which), cols_of(which)) + 255) / 256 * 256;
  }
  std::size_t layer_bytes() const {
    std::size_t out = 0;
    for (int j = 0; j <= down; ++j) out += bytes_of(static_cast<Matrix>(j));
    return out;
  }
  const ModelShape& m_;
  DType type_;
  int n_ = 1;
  DeviceBuffer<std::byte> storage_;
  std::unique_ptr<DeviceBuffer<__half>> halves_;
};

std::size_t size_of(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

class LayerBench {
 public:
  LayerBench(const ModelShape& m, DType type, int n, const Stream& stream)
      : m_(m),
        type_(type),
        n_(n),
        stream_(stream),
        clock_(stream),
        layers_(m, type, stream),
        gemm_(gemm_sizes(m, type), true, stream.get()) {
    HAIKUDA_CHECK(gemm_.open());
    for (const auto* b : {&norm_, &q_, &k_, &v_, &gate_up_}) fill_random(*b, 1, stream);
    for (const auto* b : {&x_, &qkv_, &gamma_, &cos_sin_})
      CUDA_CHECK(cudaMemsetAsync(b->data(), 0x3c, b->bytes(), stream.get()));
    const std::vector<float> ones(q_scale_.size(), 1.0f);
    q_scale_.upload(ones, stream.get());
    position_.clear(stream.get());
    stream.synchronize();
  }

  void run() {
    const double n = n_, embd = m_.n_embd, q = m_.q_size(), qkv = m_.qkv_size(), ff = m_.n_ff,
                 keys = (n + 1) / 2;
    std::printf("%s %s %d tokens\n", m_.name, dtype_name(type_), n_);
    double sum = 0;
    const auto line = [&](const char* name, double flop, double bytes, const auto& op) {
      const double us = clock_.time_us(20, op);
      sum += us;
      std::printf("  %-10s %9.1f us %8.1f TFLOP/s %8.0f GB/s\n", name, us, flop / us / 1e6,
                  bytes / us / 1e3);
      std::fflush(stdout);
    };
    line("norm", 0, n * embd * 6, [&](int) { norm(); });
    line("qkv", 2 * n * qkv * embd, 0, [&](int i) { project(i); });
    line("finish", 0, n * qkv * 6, [&](int) { finish(); });
    line("attention", 4 * n * keys * q, 0, [&](int) { attend(); });
    line("o", 2 * n * embd * q, 0, [&](int i) { output(i); });
    line("norm", 0, n * embd * 6, [&](int) { norm(); });
    line("gate_up", 4 * n * embd * ff, 0, [&](int i) { gate_up(i); });
    line("silu", 0, n * ff * 6, [&](int) { activate(); });
    line("down", 2 * n * embd * ff, 0, [&](int i) { down(i); });
    if (type_ != DType::F16) dequantize_line();
    const double layer_us = clock_.time_us(10, [&](int i) { layer(i); });
    const double host_us = host_time_us();
    std::printf(
        "  sum %.1f us, in order %.1f us (host %.1f us) a layer: %.2f ms, %.0f tokens/s "
        "without head\n",
        sum, layer_us, host_us, layer_us * m_.n_layers / 1e3, 1e6 * n / (layer_us * m_.n_layers));
    std::fflush(stdout);
  }

 private:
  static Gemm::Sizes gemm_sizes(const ModelShape& m, DType type) {
    const std::size_t one = size_of(m.n_ff, m.n_embd) * 2;
    return {.weight_bytes =
                type == DType::F16 ? 0 : std::max(one, std::min<std::size_t>(2 * one, 64u << 20))};
  }
  void dequantize_line() {
    const DeviceBuffer<__half> out(size_of(m_.n_ff, m_.n_embd));
    const double bytes = static_cast<double>(out.bytes()) +
                         static_cast<double>(matrix_bytes(type_, m_.n_ff, m_.n_embd));
    const double us = clock_.time_us(20, [&](int i) {
      dequantize_to_f16(out.data(), layers_.matrix(Layers::gate, i), 0, m_.n_ff, stream_.get());
    });
    std::printf("  (of which dequantizing gate: %.1f us, %.0f GB/s)\n", us, bytes / us / 1e3);
  }
  // What the host needs to enqueue a layer.
  double host_time_us() {
    timespec start{}, end{};
    stream_.synchronize();
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < 10; ++i) layer(i);
    clock_gettime(CLOCK_MONOTONIC, &end);
    stream_.synchronize();
    return (static_cast<double>(end.tv_sec - start.tv_sec) * 1e9 +
            static_cast<double>(end.tv_nsec - start.tv_nsec)) /
           1e4;
  }

  void layer(int i) {
    norm(), project(i), finish(), attend(), output(i);
    norm(), gate_up(i), activate(), down(i);
  }
  void norm() {
    rms_norm_half(norm_.data(), x_.data(), gamma_.data(), n_, {m_.n_embd, 1e-6f, 1.0f},
                  stream_.get());
  }
  void multiply(void* y,
                bool half,
                int y_stride,
                const __half* x,
                int x_stride,
                const std::vector<DeviceTensor>& w,
                float beta) {
    gemm_.multiply({.y = y,
                    .y_is_half = half,
                    .y_stride = y_stride,
                    .x = x,
                    .x_stride = x_stride,
                    .w = w,
                    .n = n_,
                    .alpha = 1e-3f,
                    .beta = beta});
  }
  void project(int i) {
    multiply(qkv_.data(), false, m_.qkv_size(), norm_.data(), m_.n_embd,
             layers_.matrices(Layers::q, Layers::v, i), 0);
  }
  void finish() {
    finish_qkv_half({q_.data(), q_scale_.data()}, k_.data(), v_.data(), qkv_.data(),
                    position_.data(),
                    {.q_bias = gamma_.data(),
                     .k_bias = gamma_.data(),
                     .v_bias = gamma_.data(),
                     .q_norm = nullptr,
                     .k_norm = nullptr,
                     .cos_sin = cos_sin_.data()},
                    {.n = n_,
                     .n_heads = m_.n_heads,
                     .n_kv_heads = m_.n_kv_heads,
                     .head_dim = m_.head_dim,
                     .n_dims = m_.head_dim,
                     .style = RopeStyle::neox,
                     .eps = 1e-6f},
                    stream_.get());
  }
  void attend() {
    attention_half(
        q_.data(), {q_.data(), q_scale_.data()}, k_.data(), v_.data(), position_.data(),
        {.n = n_, .n_heads = m_.n_heads, .n_kv_heads = m_.n_kv_heads, .head_dim = m_.head_dim},
        stream_.get());
  }
  void output(int i) {
    multiply(x_.data(), false, m_.n_embd, q_.data(), m_.q_size(),
             layers_.matrices(Layers::o, Layers::o, i), 1);
  }
  void gate_up(int i) {
    multiply(gate_up_.data(), true, 2 * m_.n_ff, norm_.data(), m_.n_embd,
             layers_.matrices(Layers::gate, Layers::up, i), 0);
  }
  void activate() { silu_mul_half(gate_up_.data(), n_, m_.n_ff, 1, 1, stream_.get()); }
  void down(int i) {
    multiply(x_.data(), false, m_.n_embd, gate_up_.data(), 2 * m_.n_ff,
             layers_.matrices(Layers::down, Layers::down, i), 1);
  }

  const ModelShape& m_;
  DType type_;
  int n_;
  const Stream& stream_;
  Clock clock_;
  Layers layers_;
  Gemm gemm_;
  DeviceBuffer<float> x_{size_of(n_, m_.n_embd)}, qkv_{size_of(n_, m_.qkv_size())}, gamma_{32768},
      cos_sin_{size_of(n_, m_.head_dim)}, q_scale_{size_of(n_, m_.n_heads)};
  DeviceBuffer<__half> norm_{size_of(n_, m_.n_embd)}, q_{size_of(n_, m_.q_size())},
      k_{size_of(n_, m_.kv_size())}, v_{size_of(n_, m_.kv_size())},
      gate_up_{size_of(n_, 2 * m_.n_ff)};
  DeviceBuffer<int> position_{1};
};

// Few tokens: all matrices of a layer by gemv and by cuBLASLt.
void few_tokens(const ModelShape& m, DType type, const Stream& stream) {
  const Clock clock(stream);
  const Layers layers(m, type, stream);
  const std::size_t one = size_of(m.n_ff, m.n_embd) * 2;
  Gemm gemm({.weight_bytes = type == DType::F16 ? 0 : one}, true, stream.get());
  HAIKUDA_CHECK(gemm.open());
  const DeviceBuffer<float> x(size_of(16, m.n_ff)), y(size_of(16, m.n_ff));
  const DeviceBuffer<__half> x_half(size_of(16, m.n_ff));
  x.clear(stream.get());
  fill_random(x_half, 1, stream);
  for (const int n : {1, 2, 4, 8, 16}) {
    const double by_gemv = clock.time_us(10, [&](int i) {
      for (const DeviceTensor& w : layers.matrices(Layers::q, Layers::down, i))
        gemv(y.data(), x.data(), w, n, stream.get());
    });
    const double by_product = clock.time_us(10, [&](int i) {
      for (const DeviceTensor& w : layers.matrices(Layers::q, Layers::down, i))
        gemm.multiply({.y = y.data(),
                       .y_is_half = false,
                       .y_stride = w.rows,
                       .x = x_half.data(),
                       .x_stride = w.cols,
                       .w = {&w, 1},
                       .n = n,
                       .alpha = 1,
                       .beta = 0});
    });
    std::printf("%s %s %d tokens, seven products: gemv %.1f us, cuBLASLt %.1f us\n", m.name,
                dtype_name(type), n, by_gemv, by_product);
    std::fflush(stdout);
  }
}

bool wanted(const std::string& line, const std::vector<std::string>& words) {
  return std::all_of(words.begin(), words.end(), [&](const std::string& w) {
    return line.find(' ' + w + ' ') != std::string::npos;
  });
}

void run(const std::vector<std::string>& words) {
  const Stream stream = Stream::create();
  for (const ModelShape& m : kModels)
    for (const DType type : kTypes) {
      if (m.n_embd % dtype_info(type).block_elems != 0) continue;
      const std::string line = std::string(" ") + m.name + ' ' + dtype_name(type) + ' ';
      for (const int n : {512, 2048})
        if (wanted(line + std::to_string(n) + ' ', words)) LayerBench(m, type, n, stream).run();
      if (wanted(line + "few ", words)) few_tokens(m, type, stream);
    }
}

}  // namespace
}  // namespace haikuda::cuda

int main(int argc, char** argv) {
  try {
    haikuda::cuda::run({argv + 1, argv + argc});
  } catch (const haikuda::Error& e) {
    std::fprintf(stderr, "prefill_bench: %s\n", e.what());
    return 1;
  }
}
