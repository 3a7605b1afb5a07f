// The backends that there are, by the name that they have in the settings.
#ifndef IJEPA_COORDINATOR_BACKENDS_MAKE_BACKEND_H_
#define IJEPA_COORDINATOR_BACKENDS_MAKE_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/backend_settings.h"
#include "coordinator/backends/backend.h"

namespace ijepa::coordinator {

// `cluster`: what tells the allocations of this coordinator from those of another one. Settings
// that are wrong are InvalidArgument and named; the cluster is not asked yet.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const std::string& name,
                                                     const BackendSettings& settings,
                                                     const std::string& cluster);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_MAKE_BACKEND_H_
