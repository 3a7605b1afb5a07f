// The entry points are those of NVML's documented C interface, whose names and types are stable
// since driver 319; nvmlEventSetWait_v2 is there since driver 450.
#include "worker/daemon/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ijepa::worker {
namespace {

constexpr int kSuccess = 0;
constexpr unsigned long long kXidErrors = 8;  // nvmlEventTypeXidCriticalError
constexpr size_t kMaxErrors = 64;

// nvmlEventData_t.
struct Event {
  void* device;
  unsigned long long type;
  unsigned long long data;
  unsigned gpu_instance;
  unsigned compute_instance;
};

struct CloseLibrary {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

Library Load(const std::string& name) {
  return Library(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
}

template <typename Function>
Function* Find(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library.get(), name));
}

}  // namespace

std::string ComputeCapability(const std::string& library_name) {
  const Library library = Load(library_name);
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

// The library between nvmlInit and nvmlShutdown, and what was asked of it.
struct GpuErrors::Driver {
  explicit Driver(const std::string& name) : library(Load(name)) {
    if (library == nullptr) return;
    const auto init = Find<int()>(library, "nvmlInit_v2");
    shutdown = Find<int()>(library, "nvmlShutdown");
    wait = Find<int(void*, Event*, unsigned)>(library, "nvmlEventSetWait_v2");
    free_events = Find<int(void*)>(library, "nvmlEventSetFree");
    const auto make = Find<int(void**)>(library, "nvmlEventSetCreate");
    if (!init || !shutdown || !wait || !free_events || !make || init() != kSuccess) return;
    running = true;
    if (make(&events) != kSuccess) events = nullptr;
  }
  ~Driver() {
    if (events != nullptr) free_events(events);
    if (running) shutdown();
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void Register(const std::vector<std::string>& devices) {
    const auto by_index = Find<int(unsigned, void**)>(library, "nvmlDeviceGetHandleByIndex_v2");
    const auto by_uuid = Find<int(const char*, void**)>(library, "nvmlDeviceGetHandleByUUID");
    const auto listen =
        Find<int(void*, unsigned long long, void*)>(library, "nvmlDeviceRegisterEvents");
    if (!by_index || !by_uuid || !listen) return;
    for (size_t slot = 0; slot < devices.size(); ++slot) {
      void* device = nullptr;
      unsigned index = 0;
      const bool numbered = absl::SimpleAtoi(devices[slot], &index);
      const bool found = numbered ? by_index(index, &device) == kSuccess
                                  : absl::StartsWith(devices[slot], "GPU-") &&
                                        by_uuid(devices[slot].c_str(), &device) == kSuccess;
      if (found && listen(device, kXidErrors, events) == kSuccess) {
        slots[device] = static_cast<int>(slot);
      }
    }
  }

  const Library library;
  bool running = false;
  void* events = nullptr;
  std::map<void*, int> slots;  // By NVML's handle, of which a GPU has one.
  int (*shutdown)() = nullptr;
  int (*wait)(void*, Event*, unsigned) = nullptr;
  int (*free_events)(void*) = nullptr;
};

GpuErrors::GpuErrors(std::unique_ptr<Driver> driver) : driver_(std::move(driver)) {}

GpuErrors::~GpuErrors() = default;

std::unique_ptr<GpuErrors> GpuErrors::Listen(const std::string& library,
                                             const std::vector<std::string>& devices) {
  if (devices.empty()) return nullptr;
  auto driver = std::make_unique<Driver>(library);
  if (driver->events == nullptr) return nullptr;
  driver->Register(devices);
  if (driver->slots.empty()) return nullptr;
  return absl::WrapUnique(new GpuErrors(std::move(driver)));
}

std::vector<GpuErrors::Error> GpuErrors::Poll() {
  std::vector<Error> errors;
  Event event{};
  while (errors.size() < kMaxErrors && driver_->wait(driver_->events, &event, 0) == kSuccess) {
    const auto slot = driver_->slots.find(event.device);
    if (slot == driver_->slots.end() || event.type != kXidErrors) continue;
    errors.push_back({slot->second, static_cast<int>(event.data)});
  }
  return errors;
}

}  // namespace ijepa::worker
