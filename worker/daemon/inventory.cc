#include "worker/daemon/inventory.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "worker/daemon/nvml.h"

namespace ijepa::worker {
namespace {

constexpr int kMaxSlots = 1024;

std::vector<std::filesystem::path> Entries(const std::string& folder) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    entries.push_back(it->path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// The driver's folder is missing in some containers; the device files are there where GPUs are.
int CountDeviceFiles(const std::string& dev) {
  int count = 0;
  for (const std::filesystem::path& path : Entries(dev)) {
    const std::string file = path.filename().string();
    absl::string_view name = file;
    int index = 0;
    if (absl::ConsumePrefix(&name, "nvidia") && absl::SimpleAtoi(name, &index)) ++count;
  }
  return count;
}

std::string GpuModel(const std::vector<std::filesystem::path>& gpus) {
  if (gpus.empty()) return "NVIDIA GPU";
  const absl::StatusOr<std::string> text = ReadFile((gpus.front() / "information").string());
  if (text.ok()) {
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (absl::ConsumePrefix(&line, "Model:")) {
        return std::string(absl::StripAsciiWhitespace(line));
      }
    }
  }
  return "NVIDIA GPU";
}

std::vector<std::string> CpuFeatures(const std::string& proc) {
  std::vector<std::string> features;
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(proc, "/cpuinfo"));
  if (!text.ok()) return features;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::StartsWith(line, "flags")) continue;
    const std::set<std::string> flags = absl::StrSplit(line, ' ');
    for (const char* feature : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
      if (flags.contains(feature)) features.push_back(feature);
    }
    break;
  }
  return features;
}

// Cores that this process may run on: a container or taskset may give fewer than the machine has.
int UsableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (::sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

}  // namespace

Inventory TakeInventory(const InventorySources& sources) {
  Inventory inventory;
  inventory.cpu_cores = UsableCores();
  inventory.cpu_features = CpuFeatures(sources.proc);
  const std::vector<std::filesystem::path> gpus =
      Entries(absl::StrCat(sources.proc, "/driver/nvidia/gpus"));
  // A container sees the driver's list of all GPUs and the device files of its own.
  int count = CountDeviceFiles(sources.dev);
  if (count == 0) count = static_cast<int>(gpus.size());
  if (sources.visible_devices != nullptr && count > 0) {
    inventory.devices = absl::StrSplit(sources.visible_devices, ',', absl::SkipWhitespace());
  } else {
    for (int i = 0; i < count; ++i) inventory.devices.push_back(absl::StrCat(i));
  }
  if (!inventory.devices.empty()) {
    inventory.gpu_model = GpuModel(gpus);
    inventory.compute_capability = ComputeCapability(sources.nvml);
  }
  return inventory;
}

absl::StatusOr<int> SlotCount(const std::string& slots, const Inventory& inventory) {
  const int gpus = static_cast<int>(inventory.devices.size());
  if (slots == "auto") return gpus > 0 ? gpus : inventory.cpu_cores;
  int count = 0;
  if (!absl::SimpleAtoi(slots, &count) || count < 1 || count > kMaxSlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("slots is ", slots, "; must be auto or in [1, ", kMaxSlots, "]"));
  }
  if (gpus > 0 && count > gpus) {
    return absl::InvalidArgumentError(absl::StrCat("slots is ", count, "; this node has ", gpus,
                                                   " GPUs, one rank each: use auto"));
  }
  return count;
}

}  // namespace ijepa::worker
