// Attempts as Indexed Jobs of Kubernetes, or JobSets where it has them: its scheduler (or Kueue)
// places them. Not tried against the controllers of JobSet and Kueue. For the second, the queue's
// label is set and the Job is left suspended.
#ifndef IJEPA_COORDINATOR_BACKENDS_KUBERNETES_BACKEND_H_
#define IJEPA_COORDINATOR_BACKENDS_KUBERNETES_BACKEND_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/backends/backend.h"
#include "coordinator/backends/kubernetes_client.h"
#include "coordinator/backends/kubernetes_objects.h"
#include "coordinator/backends/kubernetes_observe.h"

namespace ijepa::coordinator {

struct BackendSettings;

// Its name in the settings.
inline constexpr char kKubernetes[] = "kubernetes";

class KubernetesBackend : public Backend {
 public:
  struct Options {
    KubernetesAccess access;
    // Where the Jobs are; access.name_space where it is empty.
    std::string name_space;
    // Makes JobSets where they can be listed when the coordinator starts; else Indexed Jobs.
    bool job_sets = true;
    KubernetesSetup setup;
  };

  explicit KubernetesBackend(Options options);

  const std::string& name() const override { return name_; }
  BackendCapabilities capabilities() const override { return {true, true}; }
  absl::Status Validate(const v1::JobSpec& spec) const override;
  absl::StatusOr<std::string> Allocate(const AllocationRequest& request,
                                       absl::Duration within) override;
  absl::Status Kill(const ObservedAllocation& allocation, absl::Duration within) override;
  absl::StatusOr<std::vector<ObservedAllocation>> Reconcile(absl::Duration within) override;
  void Wait(absl::Duration within) override;
  void Wake() override { client_.Wake(); }
  void Interrupt() override { client_.Interrupt(); }
  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) override;

 private:
  // Everything of ours, as a list has it.
  struct Seen {
    // JobSets among them, as Jobs.
    std::vector<nlohmann::json> jobs;
    // By the name of the Job.
    std::map<std::string, std::vector<KubernetesPod>> pods;
  };

  struct Known {
    std::string allocation;
    // "jobs" or "jobsets".
    std::string kind;
  };

  // Paths of the kind ("jobs", "pods") in our namespace, and of the ones that are ours.
  std::string Collection(const std::string& kind) const;
  std::string Ours(const std::string& kind) const;
  // Finds out, once, whether JobSets can be listed.
  absl::Status LookForJobSets(absl::Duration within);
  bool MakesJobSets() const { return options_.job_sets && job_sets_.value_or(false); }
  // Deletes the object, then all pods with the label; OK if they are gone.
  absl::Status Delete(const std::string& object, const std::string& pods, absl::Duration within);

  absl::StatusOr<nlohmann::json> MakeJob(const AllocationRequest& request, absl::Duration within);
  absl::StatusOr<Seen> ListAll(absl::Duration within);
  // The newest events of this reason about objects of this kind, by the names of these.
  std::map<std::string, KubernetesEvent> EventsOf(const char* kind, const char* reason,
                                                  absl::Duration within);
  // Why pods do not start of which their containers say nothing.
  void AddMountFailures(Seen& seen, absl::Duration within);
  // Adds the pod that tells why a Job ends to what is listed, or remembers it, and forgets those of
  // Jobs that are not listed.
  void KeepCulprits(Seen& seen);
  // Adds what was there before and is not in `listed` (by the names of Jobs): somebody deleted it.
  // It has ended once its pods have, which save first; what we killed is not waited for, since a
  // node that is lost ends no pod.
  void AddDeleted(const Seen& seen, std::map<std::string, Known> listed,
                  std::vector<ObservedAllocation>& allocations);

  const std::string name_ = kKubernetes;
  const Options options_;
  KubernetesClient client_;
  // Whether JobSets are seen and ended; absent: not known yet.
  std::optional<bool> job_sets_;
  // Resource versions of the last lists by kind, for watches; empty: list first.
  std::map<std::string, std::string> versions_;
  // Jobs that this object made or saw, by their names.
  std::map<std::string, Known> known_;
  // Of these, those that we deleted.
  std::set<std::string> killed_;
  // By the name of the Job.
  std::map<std::string, KubernetesPod> culprits_;
  // Why the last watch did not begin; empty when it did.
  std::string watch_trouble_;
};

// From backends.kubernetes of the settings. `cluster` tells this coordinator's Jobs from those of
// others in the namespace. Errors name the setting.
absl::StatusOr<std::unique_ptr<Backend>> MakeKubernetesBackend(const BackendSettings& settings,
                                                               const std::string& cluster);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_KUBERNETES_BACKEND_H_
