// What Jobs, pods, events and nodes of Kubernetes say, in the words that all backends share. Pure.
#ifndef IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBSERVE_H_
#define IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBSERVE_H_

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/backends/backend.h"

namespace ijepa::coordinator {

// A reason of events, and the one that a pod is then said to have.
inline constexpr char kFailedMount[] = "FailedMount";

// What matters of a pod.
struct KubernetesPod {
  // The Job's or JobSet's, not the allocation's.
  std::string job;
  std::string name;
  // Empty until it is scheduled.
  std::string node;
  // Pending, Running, Succeeded, Failed, Unknown.
  std::string phase;
  // Why it is not running, or why it failed, in Kubernetes' words; both may be empty.
  std::string reason;
  std::string message;
  // It is being deleted.
  bool stopping = false;
  // Its volumes are mounted; absent where the cluster does not say.
  std::optional<bool> mounted;
};

struct KubernetesEvent {
  // Name of the object that it is about.
  std::string about;
  std::string message;
  // When it was last said.
  absl::Time last = absl::InfinitePast();
};

KubernetesPod PodFrom(const nlohmann::json& pod);

// Its processes have not ended, or have not begun.
inline bool LivesOn(const KubernetesPod& pod) {
  return pod.phase != "Succeeded" && pod.phase != "Failed";
}

KubernetesEvent EventFrom(const nlohmann::json& event);

// It does not start on its node, and says nothing of why.
bool MayWaitForMount(const KubernetesPod& pod);

// Takes a FailedMount for the reason unless it is of the past: an image that is being pulled is as
// silent.
void TakeMountFailure(const KubernetesEvent& event, absl::Time now, KubernetesPod& pod);

// A JobSet of one Job as that Job would be, as far as AllocationFrom looks.
nlohmann::json JobFromJobSet(const nlohmann::json& job_set);

// The pod that tells the most of why its Job ends or ended: one that others ended, else one that
// failed. Null when none did either; such a pod may be gone before its Job has ended.
const KubernetesPod* CulpritOf(const std::vector<KubernetesPod>& pods);

// One Job with its pods. Advice, where there is some, is that of AdviceFor. `creation_failure`: why
// not all pods could be made, from the Job's newest event; empty where none says.
ObservedAllocation AllocationFrom(const nlohmann::json& job, const std::vector<KubernetesPod>& pods,
                                  const std::string& creation_failure);

BackendNode NodeFrom(const nlohmann::json& node);

// What to do about words of Kubernetes; empty when they need none or are not known.
std::string AdviceFor(absl::string_view words);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBSERVE_H_
