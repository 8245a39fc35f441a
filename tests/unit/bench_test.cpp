// haikuda bench: which tests, their costs, and a runner on a small model. No time is asserted.
#include "app/bench/bench_measure.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "app/bench/bench_cost.h"
#include "app/bench/bench_report.h"
#include "app/statistics.h"
#include "cpu/cpu_backend.h"
#include "cpu/read_bandwidth.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

// A model in memory and the bytes it views.
struct Loaded {
  explicit Loaded(const TinyModelOptions& options)
      : bytes(make_tiny_model(options)), model(open_model_bytes(bytes, "tiny")) {}
  std::vector<std::byte> bytes;
  Model model;
};

}  // namespace

TEST_CASE("statistics: of one, of an odd and of an even number of values", "[app][bench]") {
  CHECK(mean({4}) == 4);
  CHECK(standard_deviation({4}) == 0);
  CHECK(median({4}) == 4);
  CHECK(median({9, 1, 5}) == 5);
  CHECK(median({9, 1, 5, 6}) == 5.5);
  CHECK(mean({1, 2, 3, 4}) == 2.5);
  CHECK(standard_deviation({2, 4, 4, 4, 5, 5, 7, 9}) == Approx(std::sqrt(32.0 / 7)));
}

TEST_CASE("percentile: nearest rank", "[app][bench]") {
  CHECK(percentile({3, 1, 2}, 0.5) == 2);
  CHECK(percentile({1}, 0.99) == 1);
  std::vector<double> hundred;
  for (int i = 100; i > 0; --i) hundred.push_back(i);
  CHECK(percentile(hundred, 0.50) == 50);
  CHECK(percentile(hundred, 0.90) == 90);
  CHECK(percentile(hundred, 0.99) == 99);
  CHECK(percentile(hundred, 1) == 100);
}

TEST_CASE("bench: names and order of the tests", "[app][bench]") {
  BenchOptions options;
  options.n_prompt = {512, 0};
  options.n_gen = {128};
  options.n_depth = {0, 64};
  options.prompt_gen = {{8, 4}};
  std::string names;
  for (const BenchTest& test : list_tests(options, 0)) names += test_name(test) + "\n";
  CHECK(names == "pp512\ntg128\npp8+tg4\npp512 @ d64\ntg128 @ d64\npp8+tg4 @ d64\n");
  options.n_gen = {0, 3};
  CHECK(list_tests(options, 10) == std::vector<BenchTest>{{10, 3, 0, true}});
  CHECK(test_name({10, 3, 0, true}) == "e2e 10+3");
  options = {};
  options.n_prompt = options.n_gen = options.n_depth = {0};
  CHECK(error_of([&] { list_tests(options, 0); }).code() == ExitCode::usage);
}

TEST_CASE("bench: positions that a test fills", "[app][bench]") {
  CHECK(BenchTest{512, 0, 0}.n_positions() == 512);
  CHECK(BenchTest{0, 128, 0}.n_positions() == 129);  // after one token that it needs to begin with
  CHECK(BenchTest{0, 128, 64}.n_positions() == 192);
  CHECK(BenchTest{8, 4, 64}.n_positions() == 76);
}

TEST_CASE("warm_up: ends when two times agree, or when it has tried enough", "[app][bench]") {
  const auto warm_with = [](std::vector<double> times) {
    std::size_t at = 0;
    const WarmUp done = warm_up([&] { return times[std::min(at++, times.size() - 1)]; });
    return std::pair(done.n_runs, done.is_stable);
  };
  CHECK(warm_with({1.0, 0.5, 0.505}) == std::pair(3, true));
  CHECK(warm_with({1.0, 1.0}) == std::pair(2, true));
  CHECK(warm_with({0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1}) == std::pair(10, false));
  CHECK(warm_with({3, 4, 5}) == std::pair(2, false));  // 5 seconds are over
}

TEST_CASE("hash_tokens: FNV-1a over little-endian words", "[app][bench]") {
  CHECK(hash_tokens({}) == 0xcbf29ce484222325u);
  // "chongo was here!" as four little-endian words
  CHECK(hash_tokens({0x6e6f6863, 0x77206f67, 0x68207361, 0x21657265}) == 0x858e2fa32a55e61du);
  CHECK(token_hash({}) == "fnv1a64:cbf29ce484222325");
}

TEST_CASE("fixed_tokens: ids of the vocabulary, the same for every length", "[app][bench]") {
  const std::vector<int> long_one = fixed_tokens(1000, 300);
  CHECK(std::all_of(long_one.begin(), long_one.end(), [](int id) { return id >= 0 && id < 300; }));
  CHECK(fixed_tokens(10, 300) == std::vector<int>(long_one.begin(), long_one.begin() + 10));
}

TEST_CASE("bench_cost: counted by hand", "[app][bench]") {
  TinyModelOptions o;
  o.dtype = DType::F32;
  o.n_layers = 2;
  o.n_embd = 64;
  o.n_heads = 4;
  o.n_kv_heads = 2;
  o.n_ff = 96;
  const Loaded tiny(o);
  const double vocab = tiny.model.config.n_vocab;
  const double matrices = 2.0 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96);
  const double vectors = 2.0 * (64 + 32 + 32 + 2 * 64);  // biases, norms
  const double head = vocab * 64 + 64;
  const double token_bytes = 4 * (matrices + vectors + head + 64);
  // K and V of 2 layers, 32 elements each, of 2 bytes; positions 10 to 13, so 11 to 14 with itself
  CHECK(bytes_per_token(tiny.model, {0, 4, 10}, 2) == token_bytes + 12.5 * 2 * 2 * 32 * 2);
  const BenchCost two = bench_cost(tiny.model, {0, 2, 10}, 8, 2);
  CHECK(two.bytes == 2 * token_bytes + (11 + 12) * 2 * 2 * 32 * 2);
  CHECK(two.flops == 2 * 2 * (matrices + vocab * 64) + 4.0 * (11 + 12) * 64 * 2);
  // 5 tokens in chunks of 4: the layers twice, the head once
  const BenchCost prompt = bench_cost(tiny.model, {5, 0, 0}, 4, 2);
  CHECK(prompt.bytes == 4 * (2 * (matrices + vectors) + head + 5 * 64) + (4 + 5) * 2 * 2 * 32 * 2);
  CHECK(prompt.flops == 2 * (5 * matrices + vocab * 64) + 4.0 * (1 + 2 + 3 + 4 + 5) * 64 * 2);
}

TEST_CASE("BenchRunner: the same tokens whatever was measured before", "[app][bench]") {
  TinyModelOptions o;
  o.n_embd = 64;
  o.n_ff = 96;
  o.dtype = DType::Q8_0;
  const Loaded tiny(o);
  const auto tokenizer = Tokenizer::create(tiny.model.files.metadata);
  const auto backend = make_cpu_backend(tiny.model, {.n_ctx = 64, .n_threads = 1, .chunk = 8});
  BenchRunner runner(*backend, *tokenizer, 8, "some text");
  const std::vector<int> before = runner.greedy_tokens(16);
  CHECK(before.size() == 16);
  const int n_text = static_cast<int>(
      tokenizer->encode("some text", {.add_special = true, .parse_special = true}).size());
  for (const BenchTest& test : std::vector<BenchTest>{
           {12, 0, 0}, {0, 5, 0}, {0, 5, 9}, {7, 3, 11}, {12, 0, 20}, {n_text, 4, 0, true}}) {
    CAPTURE(test_name(test));
    const BenchResult result = runner.measure(test, 2, false);
    CHECK(backend->position() == test.n_positions());
    REQUIRE(result.repetitions.size() == 2);
    for (const BenchTimes& times : result.repetitions) {
      CHECK(times.gaps_s.size() == static_cast<std::size_t>(test.n_gen));
      CHECK(times.total_s > 0);
      CHECK(times.first_token_s <= times.total_s);
    }
  }
  CHECK(runner.greedy_tokens(16) == before);
}

TEST_CASE("read bandwidth: a number that a machine can have", "[cpu][bench]") {
  const CpuReadBandwidth measured = measure_cpu_read_bandwidth(2);
  CHECK(measured.n_threads == 2);
  CHECK(measured.bytes_per_s > 1e8);
  CHECK(measured.bytes_per_s < 1e13);
}

}  // namespace haikuda::test
