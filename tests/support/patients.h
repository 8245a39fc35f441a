// Models and computations that are sick in one known way each, for the diagnosis to find.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "infer/probe.h"
#include "model/model.h"
#include "support/sick_backend.h"
#include "support/tiny_model.h"

namespace haikuda::test {

using ModelBytes = std::vector<std::byte>;

// Where a fault is planted: in what is computed, in the weights that the device holds while the
// file is sound, or in the file.
enum class Planted { computation, device, file };

struct Patient {
  std::string name;
  Planted planted{};
  TinyModelOptions options = {};
  Fault fault = Fault::none;                      // of a computation
  std::function<void(ModelBytes&)> spoil = {};    // of a device's weights or a file
  std::function<void(Model&)> change = {};        // of what the device takes for the model
  std::function<void(ModelBytes&)> prepare = {};  // of the sound model, where it needs it
  bool against = false;         // it cannot be seen from inside; a run of the sound file shows it
  std::set<Stage> stages = {};  // that may be named
  // The same where the device is a GPU, whose attention shows its result alone; none: as above.
  std::set<Stage> gpu_stages = {};
  int layer = -1;
};

std::vector<Patient> all_patients();
// The mistakes of a computation that can be planted in any backend: by other weights or another
// configuration than the file's.
std::vector<Patient> device_patients();

}  // namespace haikuda::test
