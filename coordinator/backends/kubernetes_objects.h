// What we make in Kubernetes for one attempt: an Indexed Job, whose pods are the attempt's nodes
// with one worker each, a headless Service that names the pods, and a Secret with the attempt's
// token. All three have the allocation's name; Service and Secret go with the Job. Where JobSet is
// installed, a JobSet of one such Job instead, which makes the Service itself.
#ifndef IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBJECTS_H_
#define IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBJECTS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/backends/backend.h"

namespace ijepa::coordinator {

inline constexpr char kManagedByLabel[] = "app.kubernetes.io/managed-by";
inline constexpr char kManagedBy[] = "ijepa-coordinator";
// Whose it is; more than one coordinator may use a namespace.
inline constexpr char kCoordinatorLabel[] = "ijepa/coordinator";
// Below, a Job is also a JobSet. On a Job: the allocation's name, which may be longer than a name
// in Kubernetes.
inline constexpr char kAllocationAnnotation[] = "ijepa/allocation";
// On a Job: Service and Secret are there as well.
inline constexpr char kCompleteAnnotation[] = "ijepa/complete";
// On pods, by the controllers of Jobs and of JobSets: whose they are.
inline constexpr char kJobLabel[] = "batch.kubernetes.io/job-name";
inline constexpr char kJobSetLabel[] = "jobset.sigs.k8s.io/jobset-name";
inline constexpr char kJobSetKind[] = "JobSet";
// The oldest JobSet that has all that is asked of it is 0.6.
inline constexpr char kJobSetVersion[] = "jobset.x-k8s.io/v1alpha2";

// Settings of the backend that the objects are made from.
struct KubernetesSetup {
  // HOST:PORT of the worker listener, as pods reach it.
  std::string coordinator;
  // Value of kCoordinatorLabel.
  std::string identity;
  // Image and service account of jobs that do not say; an empty service account is the namespace's
  // default.
  std::string image;
  std::string service_account;
  // Names of Secrets; empty: none. The second holds tls.crt, tls.key and ca.crt for workers.
  std::string pull_secret;
  std::string tls_secret;
  // PersistentVolumeClaim that is mounted at checkpoint_root; empty: none.
  std::string checkpoint_claim;
  std::string checkpoint_root;
  // User and group of the pods.
  int user = 10001;
  // What lets jobs reach beyond their pods: folders of the nodes, and any field of a pod.
  bool allow_host_path = false;
  bool allow_pod_patch = false;
  // From the request to stop until a pod is killed.
  absl::Duration drain = absl::Minutes(2);
};

// The allocation's name where it is short enough for a Job of pods with host names, else its
// beginning and a digest of all of it.
std::string ObjectName(absl::string_view allocation);

// The same for a JobSet, which must begin with a letter; and the one Job of it.
std::string JobSetName(absl::string_view allocation);
std::string ChildJobName(const std::string& job_set);

// Ranks in each pod: the largest divisor of `ranks` up to kubernetes.ranks_per_pod.
int RanksPerPod(const v1::JobSpec& spec, int ranks);

// The Job, suspended. InvalidArgument for a pod_patch that does not fit a pod template.
absl::StatusOr<nlohmann::json> JobObject(const AllocationRequest& request,
                                         const KubernetesSetup& setup);
absl::StatusOr<nlohmann::json> JobSetObject(const AllocationRequest& request,
                                            const KubernetesSetup& setup);

// `owner`: the Job as the server has it; they are deleted with it.
nlohmann::json ServiceObject(const nlohmann::json& owner);
nlohmann::json SecretObject(const nlohmann::json& owner, const std::string& token);

// The merge patch that marks the Job as complete, and starts it unless Kueue is to.
nlohmann::json CompletionPatch(const v1::JobSpec& spec);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_KUBERNETES_OBJECTS_H_
