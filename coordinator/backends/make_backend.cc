// See make_backend.h.
#include "coordinator/backends/make_backend.h"

#include "absl/strings/str_cat.h"
#include "coordinator/backends/kubernetes_backend.h"
#include "coordinator/backends/slurm_backend.h"

namespace ijepa::coordinator {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const std::string& name,
                                                     const BackendSettings& settings,
                                                     const std::string& cluster) {
  if (name == kSlurm) return MakeSlurmBackend(settings, cluster);
  if (name == kKubernetes) return MakeKubernetesBackend(settings, cluster);
  return absl::InvalidArgumentError(absl::StrCat("there is no backend ", name));
}

}  // namespace ijepa::coordinator
