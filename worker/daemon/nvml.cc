// The entry points are those of NVML's documented C interface, whose names and types are stable
// since driver 319.
#include "worker/daemon/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ijepa::worker {
namespace {

constexpr int kSuccess = 0;

struct CloseLibrary {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

template <typename Function>
Function* Find(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library.get(), name));
}

}  // namespace

std::string ComputeCapability(const std::string& library_name) {
  const Library library(::dlopen(library_name.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (library == nullptr) return "";
  const auto init = Find<int()>(library, "nvmlInit_v2");
  const auto shutdown = Find<int()>(library, "nvmlShutdown");
  const auto count = Find<int(unsigned*)>(library, "nvmlDeviceGetCount_v2");
  const auto handle = Find<int(unsigned, void**)>(library, "nvmlDeviceGetHandleByIndex_v2");
  const auto capability =
      Find<int(void*, int*, int*)>(library, "nvmlDeviceGetCudaComputeCapability");
  if (!init || !shutdown || !count || !handle || !capability || init() != kSuccess) return "";
  unsigned devices = 0;
  if (count(&devices) != kSuccess) devices = 0;
  constexpr std::pair<int, int> kNone{0, 0};
  std::pair<int, int> lowest = kNone;
  for (unsigned i = 0; i < devices; ++i) {
    void* device = nullptr;
    std::pair<int, int> found;
    if (handle(i, &device) != kSuccess) continue;
    if (capability(device, &found.first, &found.second) != kSuccess) continue;
    lowest = lowest == kNone ? found : std::min(lowest, found);
  }
  shutdown();
  return lowest == kNone ? "" : absl::StrCat(lowest.first, ".", lowest.second);
}

}  // namespace ijepa::worker
