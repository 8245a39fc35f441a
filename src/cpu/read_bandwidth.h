// How fast this machine's processors read its memory: the limit of decoding.
#pragma once

namespace haikuda {

struct CpuReadBandwidth {
  double bytes_per_s = 0;
  int n_threads = 0;  // that took part
};

// Reads a buffer far larger than the caches, for about 0.3 s, with `n_threads` (0: one for each
// processor this process may use); the fastest pass counts. Throws std::bad_alloc.
CpuReadBandwidth measure_cpu_read_bandwidth(int n_threads);

}  // namespace haikuda
