// What a test asks of the hardware at least: bytes read from memory and arithmetic. Derived from
// shapes, not measured.
#pragma once

#include "app/bench/bench_test.h"
#include "model/model.h"

namespace haikuda {

struct BenchCost {
  double bytes = 0;  // weights once for each chunk of a prompt and each token, and K and V of the
                     // positions before
  double flops = 0;  // of products and attention, two for a multiplication with its addition
};

// `chunk`: tokens of a prompt computed at once. `kv_elem_bytes`: of an element of the cache.
BenchCost bench_cost(const Model& model, const BenchTest& test, int chunk, int kv_elem_bytes);
// Bytes that one token of a generation reads: its weights, and K and V at the test's mean position.
double bytes_per_token(const Model& model, const BenchTest& test, int kv_elem_bytes);

}  // namespace haikuda
