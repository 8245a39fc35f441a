// Times the fused products on the matrices of real models, alone and as the chain of a whole token
// without attention. Weights are constant bytes: times do not depend on their values. Every matrix
// has as many copies as it takes to leave the L2 cache cold.
//   haikuda_gemv_bench                   the plans that are chosen, for every shape and tuned type
//   haikuda_gemv_bench --plans [WORD …]  the five fastest plans of the shapes whose line has all
//   words haikuda_gemv_bench --chain           a token of each model and type
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda/gemv_plan.h"
#include "cuda/layout.h"
#include "cuda/ops.h"
#include "cuda/resources.h"
#include "time_graph.h"

namespace haikuda::cuda {
namespace {

constexpr double kPeakGbps = 4526;  // an H200's reads, measured
constexpr float kEps = 1e-6f;

enum class Op { qkv, o, gate_up, down, head };
const char* name_of(Op op) {
  constexpr const char* kNames[] = {"qkv", "o", "gate_up", "down", "head"};
  return kNames[static_cast<int>(op)];
}

struct ModelShape {
  const char* name;
  int n_layers, n_embd, q_size, kv_size, n_ff, n_vocab;
};
constexpr ModelShape kModels[] = {{"0.5B", 24, 896, 896, 128, 4864, 151936},
                                  {"7B", 28, 3584, 3584, 512, 18944, 152064}};
constexpr DType kTypes[] = {DType::F16,  DType::BF16, DType::Q8_0, DType::Q4_0,
                            DType::Q5_0, DType::Q4_K, DType::Q5_K, DType::Q6_K};

bool fits(const ModelShape& m, DType type) {
  return m.n_embd % dtype_info(type).block_elems == 0;
}

// Copies of one matrix.
class Matrices {
 public:
  Matrices(DType type, int rows, int cols, int n_copies, const Stream& stream)
      : type_(type),
        rows_(rows),
        cols_(cols),
        bytes_((matrix_bytes(type, rows, cols) + 255) / 256 * 256),
        storage_(bytes_ * static_cast<std::size_t>(n_copies)) {
    CUDA_CHECK(cudaMemsetAsync(storage_.data(), 0x11, storage_.bytes(), stream.get()));
  }
  DeviceTensor operator[](int copy) const {
    return {type_, rows_, cols_, storage_.data() + bytes_ * static_cast<std::size_t>(copy)};
  }

 private:
  DType type_;
  int rows_, cols_;
  std::size_t bytes_;
  DeviceBuffer<std::byte> storage_;
};

// All inputs and outputs, zero.
struct Buffers {
  explicit Buffers(const Stream& stream) {
    for (const DeviceBuffer<float>* b : {&x, &gamma, &y, &act})
      CUDA_CHECK(cudaMemsetAsync(b->data(), 0, b->bytes(), stream.get()));
  }
  DeviceBuffer<float> x{32768}, gamma{32768}, y{1 << 18}, act{32768};
  DeviceBuffer<std::int8_t> quants{65536};
  DeviceBuffer<ActivationBlock> blocks{1024};
  DeviceBuffer<ArgmaxResult> best{1}, partial{kMaxGemvBlocks};
  QuantizedActivations quantized() const { return {quants.data(), blocks.data()}; }
};

// One op on one copy of its matrices.
class Product {
 public:
  Product(Op op, DType type, const ModelShape& m, int n_copies, const Stream& stream) : op_(op) {
    const auto add = [&](int rows, int cols) {
      matrices_.push_back(std::make_unique<Matrices>(type, rows, cols, n_copies, stream));
      bytes_ += matrix_bytes(type, rows, cols);
    };
    if (op == Op::qkv) add(m.q_size, m.n_embd), add(m.kv_size, m.n_embd), add(m.kv_size, m.n_embd);
    if (op == Op::o) add(m.n_embd, m.q_size);
    if (op == Op::gate_up) add(m.n_ff, m.n_embd), add(m.n_ff, m.n_embd);
    if (op == Op::down) add(m.n_embd, m.n_ff);
    if (op == Op::head) add(m.n_vocab, m.n_embd);
  }
  double bytes() const { return static_cast<double>(bytes_); }
  DeviceTensor matrix(std::size_t i, int copy) const { return (*matrices_[i])[copy]; }

  // down takes integers where `integers` says so, gate_up makes them.
  void run(const Buffers& b, int copy, bool integers, cudaStream_t stream, const GemvPlan* plan) {
    const DeviceTensor w = matrix(0, copy);
    if (op_ == Op::qkv) {
      const DeviceTensor k = matrix(1, copy), v = matrix(2, copy);
      const FusedProduct products[] = {{b.y.data(), w, nullptr},
                                       {b.y.data() + w.rows, k, nullptr},
                                       {b.y.data() + w.rows + k.rows, v, nullptr}};
      norm_gemv(products, b.x.data(), b.gamma.data(), kEps, stream, plan);
    } else if (op_ == Op::gate_up && integers) {
      norm_gate_up(b.quantized(), w, matrix(1, copy), b.x.data(), b.gamma.data(), kEps, stream,
                   plan);
    } else if (op_ == Op::gate_up) {
      norm_gate_up(b.act.data(), w, matrix(1, copy), b.x.data(), b.gamma.data(), kEps, stream,
                   plan);
    } else if (op_ == Op::head) {
      norm_head(b.y.data(), b.best.data(), b.partial.data(), w, b.x.data(), b.gamma.data(), kEps,
                stream, plan);
    } else if (op_ == Op::down && integers) {
      gemv_add(b.x.data(), w, b.quantized(), stream, plan);
    } else {
      gemv_add(b.x.data(), w, op_ == Op::down ? b.act.data() : b.y.data(), stream, plan);
    }
  }

 private:
  Op op_;
  std::vector<std::unique_ptr<Matrices>> matrices_;
  std::size_t bytes_ = 0;
};

class Bench {
 public:
  void ops(bool all_plans, const std::vector<std::string>& words) {
    for (const ModelShape& m : kModels)
      for (const DType type : kTypes)
        for (const Op op : {Op::qkv, Op::o, Op::gate_up, Op::down, Op::head}) {
          const std::string line =
              std::string(m.name) + ' ' + dtype_name(type) + ' ' + name_of(op) + ' ';
          const bool wanted = std::all_of(words.begin(), words.end(), [&](const std::string& w) {
            return line.find(w + ' ') != std::string::npos;
          });
          if (wanted && fits(m, type)) measure_op(m, type, op, line, all_plans);
        }
  }

  void chains() {
    for (const ModelShape& m : kModels)
      for (const DType type : kTypes)
        if (fits(m, type)) measure_chain(m, type);
  }

 private:
  void measure_op(const ModelShape& m, DType type, Op op, const std::string& line, bool all_plans) {
    const double one_copy = Product(op, type, m, 1, stream_).bytes();
    const int n_copies = std::clamp(static_cast<int>(6e8 / one_copy), 2, 96);
    Product product(op, type, m, n_copies, stream_);
    const DeviceTensor up = product.matrix(op == Op::gate_up ? 1 : 0, 0);
    const bool integers =
        (op == Op::gate_up && gate_up_should_quantize(product.matrix(0, 0), up, up));
    const auto time = [&](const GemvPlan* plan) {
      return time_graph_us(stream_,
                           [&] {
                             for (int copy = 0; copy < n_copies; ++copy)
                               product.run(buffers_, copy, integers, stream_.get(), plan);
                           }) /
             n_copies;
    };
    const auto print = [&](double us, const char* plan) {
      std::printf("%-20s %8.2f MB %8.2f us %6.0f GB/s %3.0f %%  %s\n", line.c_str(), one_copy / 1e6,
                  us, one_copy / us / 1e3, one_copy / us / 10 / kPeakGbps, plan);
      std::fflush(stdout);
    };
    print(time(nullptr), integers ? "chosen, integers out" : "chosen");
    if (!all_plans) return;
    std::vector<std::pair<double, std::string>> results;
    for (const GemvPlan& plan : plans(integers)) try {
        char text[100];
        std::snprintf(text, sizeof text, "%d warps, %d a row, %d rows at a time, %d blocks",
                      plan.n_warps, plan.warps_per_row, plan.n_streams, plan.n_blocks);
        results.emplace_back(time(&plan), text);
      } catch (const Error&) {  // a plan that does not fit this shape
        abandon_capture();
      }
    std::sort(results.begin(), results.end());
    for (std::size_t i = 0; i < results.size() && i < 5; ++i)
      print(results[i].first, results[i].second.c_str());
  }

  static std::vector<GemvPlan> plans(bool integers) {
    int device = 0, n_sms = 0;
    CUDA_CHECK(cudaGetDevice(&device));
    CUDA_CHECK(cudaDeviceGetAttribute(&n_sms, cudaDevAttrMultiProcessorCount, device));
    std::vector<GemvPlan> out;
    for (const int n_warps : {4, 8, 16})
      for (const int n_streams : {1, 2})
        for (int warps_per_row = 1; warps_per_row <= std::min(8, n_warps); warps_per_row *= 2)
          for (int resident = 8; resident <= 32; resident += 8) {
            if (resident < n_warps) continue;
            GemvPlan plan{.n_warps = n_warps,
                          .warps_per_row = warps_per_row,
                          .n_streams = n_streams,
                          .tile_rows = 64,
                          .n_blocks = n_sms * (resident / n_warps)};
            if (!integers) plan.tile_rows = std::max(2, plan.rows_per_step());
            out.push_back(plan);
          }
    return out;
  }

  void abandon_capture() {
    cudaGraph_t graph = nullptr;
    ignore_cuda(cudaStreamEndCapture(stream_.get(), &graph));
    if (graph != nullptr) ignore_cuda(cudaGraphDestroy(graph));
    ignore_cuda(cudaGetLastError());
  }

  void measure_chain(const ModelShape& m, DType type) {
    Product qkv(Op::qkv, type, m, m.n_layers, stream_), o(Op::o, type, m, m.n_layers, stream_),
        gate_up(Op::gate_up, type, m, m.n_layers, stream_),
        down(Op::down, type, m, m.n_layers, stream_), head(Op::head, type, m, 1, stream_);
    const bool integers =
        gate_up_should_quantize(gate_up.matrix(0, 0), gate_up.matrix(1, 0), down.matrix(0, 0));
    const double us = time_graph_us(stream_, [&] {
      for (int layer = 0; layer < m.n_layers; ++layer) {
        qkv.run(buffers_, layer, false, stream_.get(), nullptr);
        o.run(buffers_, layer, false, stream_.get(), nullptr);
        gate_up.run(buffers_, layer, integers, stream_.get(), nullptr);
        down.run(buffers_, layer, integers, stream_.get(), nullptr);
      }
      head.run(buffers_, 0, false, stream_.get(), nullptr);
    });
    const double bytes =
        m.n_layers * (qkv.bytes() + o.bytes() + gate_up.bytes() + down.bytes()) + head.bytes();
    std::printf(
        "%-5s %-5s chain without attention: %7.1f us, %6.0f tokens/s, %3.0f %% of %.0f GB/s\n",
        m.name, dtype_name(type), us, 1e6 / us, bytes / us / 10 / kPeakGbps, kPeakGbps);
    std::fflush(stdout);
  }

  Stream stream_ = Stream::create();
  Buffers buffers_{stream_};
};

}  // namespace
}  // namespace haikuda::cuda

int main(int argc, char** argv) {
  try {
    haikuda::cuda::Bench bench;
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "--chain") {
      bench.chains();
    } else {
      const bool all_plans = mode == "--plans";
      bench.ops(all_plans, {argv + std::min(argc, all_plans ? 2 : 1), argv + argc});
    }
  } catch (const haikuda::Error& e) {
    std::fprintf(stderr, "gemv_bench: %s\n", e.what());
    return 1;
  }
}
