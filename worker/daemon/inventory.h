// What this machine offers: slots, GPUs, instruction sets.
#ifndef IJEPA_WORKER_DAEMON_INVENTORY_H_
#define IJEPA_WORKER_DAEMON_INVENTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ijepa::worker {

struct Inventory {
  // What to set CUDA_VISIBLE_DEVICES to, one per GPU; empty without GPUs.
  std::vector<std::string> devices;
  std::string gpu_model;
  int cpu_cores = 1;
  // Those of avx2, avx512f, avx512_bf16, amx_bf16 that the CPU has.
  std::vector<std::string> cpu_features;
};

// Looks at the machine. `proc` and `dev` are /proc and /dev, elsewhere in tests; `visible_devices`
// is the worker's own CUDA_VISIBLE_DEVICES or null, which limits the devices.
Inventory TakeInventory(const std::string& proc, const std::string& dev,
                        const char* visible_devices);

// Slots for the setting `slots`: a number, or auto: one per GPU, else one per core.
// InvalidArgument if it is neither, out of [1, 1024], or beyond the GPUs there are.
absl::StatusOr<int> SlotCount(const std::string& slots, const Inventory& inventory);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_INVENTORY_H_
