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
  // CUDA compute capability, "9.0", the lowest of all GPUs; empty where the driver does not say.
  std::string compute_capability;
  int cpu_cores = 1;
  // Those of avx2, avx512f, avx512_bf16, amx_bf16 that the CPU says it has.
  std::vector<std::string> cpu_features;
};

// Where to look; elsewhere in tests.
struct InventorySources {
  std::string proc = "/proc";
  std::string dev = "/dev";
  // The driver's management library, opened only where there are GPUs.
  std::string nvml = "libnvidia-ml.so.1";
  // The worker's own CUDA_VISIBLE_DEVICES, which limits the devices; null: not set.
  const char* visible_devices = nullptr;
};

// Looks at the machine. What it does not find it leaves out.
Inventory TakeInventory(const InventorySources& sources);

// Slots for the setting `slots`: a number, or auto: one per GPU, else one per core.
// InvalidArgument if it is neither, out of [1, 1024], or beyond the GPUs there are.
absl::StatusOr<int> SlotCount(const std::string& slots, const Inventory& inventory);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_INVENTORY_H_
