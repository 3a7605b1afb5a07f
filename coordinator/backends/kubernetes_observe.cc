// See kubernetes_observe.h.
#include "coordinator/backends/kubernetes_observe.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/backends/kubernetes_objects.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json& Part(const json& object, const char* key) {
  static const json* const none = new json(json::object());
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : *none;
}

const json& ListOf(const json& object, const char* key) {
  static const json* const none = new json(json::array());
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : *none;
}

// The condition of the type if it is in the state ("True"), an empty object otherwise.
json Condition(const json& object, const char* type, const char* state = "True") {
  for (const json& condition : ListOf(Part(object, "status"), "conditions")) {
    if (Text(condition, "type") == type && Text(condition, "status") == state) return condition;
  }
  return json::object();
}

// A kubelet says again every two minutes or so that a volume cannot be mounted.
constexpr absl::Duration kMountFailureHolds = absl::Minutes(5);

// Why a container waits or how it ended.
void TakeContainer(const json& status, KubernetesPod& pod) {
  for (const char* state : {"waiting", "terminated"}) {
    const json& about = Part(Part(status, "state"), state);
    if (about.empty()) continue;
    const std::string reason = Text(about, "reason");
    const int code = about.value("exitCode", 0);
    if (reason == "ContainerCreating" || reason == "PodInitializing" || reason == "Completed") {
      continue;
    }
    pod.reason = reason;
    pod.message = Text(about, "message");
    if (code != 0 && pod.message.empty()) pod.message = absl::StrCat("exit code ", code);
  }
}

struct Meaning {
  const char* words;
  AllocationEnd end;
};

// Words of a pod or Job that failed; the first that is in them counts.
constexpr Meaning kEnds[] = {
    {"DeadlineExceeded", AllocationEnd::kTimeLimit},
    {"OOMKilled", AllocationEnd::kOutOfMemory},
    {"PreemptionByScheduler", AllocationEnd::kPreempted},
    {"EvictionByEvictionAPI", AllocationEnd::kPreempted},
    {"TerminationByKubelet", AllocationEnd::kPreempted},
    {"Evicted", AllocationEnd::kPreempted},
    {"Preempting", AllocationEnd::kPreempted},
    {"DeletionByTaintManager", AllocationEnd::kNodeFailed},
    {"DeletionByPodGC", AllocationEnd::kNodeFailed},
    {"NodeLost", AllocationEnd::kNodeFailed},
    {"NodeShutdown", AllocationEnd::kNodeFailed},
    {"NodeAffinity", AllocationEnd::kNodeFailed},
    {"UnexpectedAdmissionError", AllocationEnd::kNodeFailed},
};

struct Advice {
  const char* words;
  const char* advice;
};

// The first whose words are said counts: a refusal of rights names service accounts too.
constexpr Advice kAdvice[] = {
    {"exceeded quota",
     "lower ranks or kubernetes.resources, or have the namespace's ResourceQuota raised"},
    {"\"jobsets\" in API group",
     "give the coordinator's service account the right "
     "(deploy/kubernetes/chart/templates/rights.yaml with jobs.jobSets), or set job_sets of "
     "backends.kubernetes to false"},
    {"is forbidden: User",
     "give the coordinator's service account the right: chart value jobs.enabled, or "
     "deploy/kubernetes/chart/templates/rights.yaml"},
    {"usage per ", "keep kubernetes.resources within the namespace's LimitRange"},
    {"ImageNeverPull", "put kubernetes.image on every node, or let its pull policy fetch it"},
    {"ImagePull",
     "check kubernetes.image (or image of backends.kubernetes), its registry and pull_secret"},
    {"InvalidImageName", "write kubernetes.image as REGISTRY/NAME:TAG"},
    {"untolerated taint", "add the taint to kubernetes.tolerations if the job may run there"},
    {"affinity/selector", "no node that is free has the labels of kubernetes.node_selector"},
    {"Insufficient",
     "wait for others to end, or lower kubernetes.ranks_per_pod or kubernetes.resources"},
    {"persistentvolumeclaim", "make the claim that kubernetes.volumes names, in the namespace"},
    {"PriorityClass", "name a PriorityClass that is there in kubernetes.pod_priority_class"},
    {"serviceaccount", "make the service account, or change kubernetes.service_account"},
    {"violates PodSecurity",
     "change kubernetes.pod_patch or kubernetes.volumes, or the namespace's PodSecurity level"},
    {kFailedMount,
     "a volume of the pod cannot be had: see kubernetes.volumes, and tls_secret and "
     "checkpoint_claim of backends.kubernetes"},
    {"CreateContainerConfigError", "a Secret or ConfigMap that the pod names is not there"},
    {"Unauthorized",
     "the coordinator's token has expired or is unknown there; renew it in its kubeconfig, or see "
     "that its service account is still there"},
    {"certificate",
     "the API server's certificate and certificate-authority of the kubeconfig do not fit; take "
     "both from the same cluster"},
    {"Could not resolve host", "see that server of the kubeconfig is right and can be reached"},
    {"Couldn't connect", "see that server of the kubeconfig is right and can be reached"},
    {"namespaces \"", "make the namespace, or change namespace of backends.kubernetes"},
};

AllocationEnd EndFor(absl::string_view words) {
  for (const Meaning& meaning : kEnds) {
    if (absl::StrContains(words, meaning.words)) return meaning.end;
  }
  return AllocationEnd::kFailed;
}

// The pod that says why it does not run; null when none does.
const KubernetesPod* WaitingOf(const std::vector<KubernetesPod>& pods) {
  for (const KubernetesPod& pod : pods) {
    if (!pod.reason.empty()) return &pod;
  }
  return nullptr;
}

std::string Sentence(absl::string_view reason, absl::string_view message) {
  if (reason.empty() || message.empty()) return absl::StrCat(reason, message);
  return absl::StrCat(reason, ": ", message);
}

void TakeEnd(const json& failed, const std::vector<KubernetesPod>& pods,
             ObservedAllocation& allocation) {
  allocation.phase = ObservedPhase::kEnded;
  if (failed.empty()) {
    allocation.state = "Complete";
    return;
  }
  allocation.state = "Failed";
  const std::string reason = Text(failed, "reason");
  allocation.reason = Sentence(reason, Text(failed, "message"));
  allocation.end = EndFor(reason);
  const KubernetesPod* culprit = CulpritOf(pods);
  if (culprit == nullptr || allocation.end != AllocationEnd::kFailed) return;
  allocation.reason =
      absl::StrCat("pod ", culprit->name, ": ", Sentence(culprit->reason, culprit->message));
  allocation.end = EndFor(culprit->reason);
  allocation.host = culprit->node;
}

// Of a Job that has not ended.
void TakeProgress(const json& job, const std::vector<KubernetesPod>& pods,
                  const std::string& creation_failure, ObservedAllocation& allocation) {
  const int wanted = Part(job, "spec").value("completions", 1);
  const int running = static_cast<int>(std::count_if(pods.begin(), pods.end(), [](const auto& pod) {
    return pod.phase == "Running" && !pod.stopping;
  }));
  allocation.state = absl::StrCat(running, " of ", wanted, " pods running");
  // Once a pod has ended or is to, the others are about to: their workers may end by themselves.
  const bool ending = std::any_of(pods.begin(), pods.end(),
                                  [](const auto& pod) { return pod.stopping || !LivesOn(pod); });
  if (running == wanted || ending) allocation.phase = ObservedPhase::kRunning;
  if (running == wanted) return;
  if (Part(job, "spec").value("suspend", false)) {
    allocation.state = "Suspended";
    allocation.reason = Text(Condition(job, "Suspended"), "message");
    return;
  }
  const KubernetesPod* pod = CulpritOf(pods);
  if (pod == nullptr) pod = WaitingOf(pods);
  if (pod != nullptr) {
    allocation.reason = absl::StrCat("pod ", pod->name, ": ", Sentence(pod->reason, pod->message));
  } else if (static_cast<int>(pods.size()) < wanted) {
    allocation.reason = creation_failure;
  }
}

}  // namespace

KubernetesPod PodFrom(const json& object) {
  KubernetesPod pod;
  const json& about = Part(object, "metadata");
  const json& status = Part(object, "status");
  const json& labels = Part(about, "labels");
  pod.job = Text(labels, labels.contains(kJobSetLabel) ? kJobSetLabel : kJobLabel);
  pod.name = Text(about, "name");
  pod.node = Text(Part(object, "spec"), "nodeName");
  pod.phase = Text(status, "phase");
  pod.stopping = about.contains("deletionTimestamp");
  for (const char* state : {"True", "False"}) {
    if (Condition(object, "PodReadyToStartContainers", state).empty()) continue;
    pod.mounted = state == std::string("True");
  }
  for (const json& container : ListOf(status, "containerStatuses")) TakeContainer(container, pod);
  // In rising order of how much they tell.
  for (const json& condition :
       {Condition(object, "PodScheduled", "False"), Condition(object, "DisruptionTarget")}) {
    if (condition.empty()) continue;
    pod.reason = Text(condition, "reason");
    pod.message = Text(condition, "message");
  }
  if (const std::string reason = Text(status, "reason"); !reason.empty()) {
    pod.reason = reason;
    pod.message = Text(status, "message");
  }
  return pod;
}

KubernetesEvent EventFrom(const json& object) {
  KubernetesEvent event;
  event.about = Text(Part(object, "involvedObject"), "name");
  event.message = Text(object, "message");
  // An event has one or the other of the first two.
  const std::string times[] = {Text(object, "lastTimestamp"), Text(object, "eventTime"),
                               Text(Part(object, "metadata"), "creationTimestamp")};
  for (const std::string& time : times) {
    if (absl::ParseTime(absl::RFC3339_full, time, &event.last, nullptr)) break;
  }
  return event;
}

bool MayWaitForMount(const KubernetesPod& pod) {
  return pod.phase == "Pending" && !pod.node.empty() && pod.reason.empty() && !pod.stopping &&
         !pod.mounted.value_or(false);
}

void TakeMountFailure(const KubernetesEvent& event, absl::Time now, KubernetesPod& pod) {
  if (!MayWaitForMount(pod)) return;
  if (!pod.mounted.has_value() && now - event.last > kMountFailureHolds) return;
  pod.reason = kFailedMount;
  pod.message = event.message;
}

json JobFromJobSet(const json& job_set) {
  const json& spec = Part(job_set, "spec");
  json job = {{"kind", kJobSetKind},
              {"metadata", Part(job_set, "metadata")},
              {"spec", {{"suspend", spec.value("suspend", false)}}},
              {"status", {{"conditions", ListOf(Part(job_set, "status"), "conditions")}}}};
  for (const json& group : ListOf(spec, "replicatedJobs")) {
    job["spec"]["completions"] = Part(Part(group, "template"), "spec").value("completions", 1);
  }
  for (json& condition : job["status"]["conditions"]) {
    if (Text(condition, "type") == "Completed") condition["type"] = "Complete";
  }
  return job;
}

const KubernetesPod* CulpritOf(const std::vector<KubernetesPod>& pods) {
  const KubernetesPod* culprit = nullptr;
  for (const KubernetesPod& pod : pods) {
    const bool told = EndFor(pod.reason) != AllocationEnd::kFailed;
    if (!told && pod.phase != "Failed") continue;
    if (culprit == nullptr || (told && EndFor(culprit->reason) == AllocationEnd::kFailed)) {
      culprit = &pod;
    }
  }
  return culprit;
}

ObservedAllocation AllocationFrom(const json& job, const std::vector<KubernetesPod>& pods,
                                  const std::string& creation_failure) {
  ObservedAllocation allocation;
  const json& about = Part(job, "metadata");
  allocation.name = Text(Part(about, "annotations"), kAllocationAnnotation);
  allocation.handle = Text(about, "name");
  std::set<std::string> hosts;
  for (const KubernetesPod& pod : pods) {
    if (!pod.node.empty()) hosts.insert(pod.node);
  }
  allocation.hosts.assign(hosts.begin(), hosts.end());
  const json failed = Condition(job, "Failed");
  if (!failed.empty() || !Condition(job, "Complete").empty()) {
    TakeEnd(failed, pods, allocation);
  } else {
    TakeProgress(job, pods, creation_failure, allocation);
  }
  allocation.advice = AdviceFor(allocation.reason);
  return allocation;
}

BackendNode NodeFrom(const json& object) {
  BackendNode node;
  node.name = Text(Part(object, "metadata"), "name");
  const bool ready = !Condition(object, "Ready").empty();
  const bool closed = Part(object, "spec").value("unschedulable", false);
  node.state = absl::StrCat(ready ? "Ready" : "NotReady", closed ? ",SchedulingDisabled" : "");
  node.usable = ready && !closed;
  std::vector<std::string> reasons;
  for (const char* state : {"False", "Unknown"}) {
    const json condition = Condition(object, "Ready", state);
    if (!condition.empty()) {
      reasons.push_back(Sentence(Text(condition, "reason"), Text(condition, "message")));
    }
  }
  for (const json& condition : ListOf(Part(object, "status"), "conditions")) {
    const std::string type = Text(condition, "type");
    if (type != "Ready" && Text(condition, "status") == "True") reasons.push_back(type);
  }
  for (const json& taint : ListOf(Part(object, "spec"), "taints")) {
    const std::string effect = Text(taint, "effect");
    const std::string value = Text(taint, "value");
    reasons.push_back(
        absl::StrCat("taint ", Text(taint, "key"), value.empty() ? "" : "=", value, ":", effect));
    // Jobs may tolerate a taint; those that say that a node is not well, none should.
    if (absl::StartsWith(Text(taint, "key"), "node.kubernetes.io/") && effect == "NoExecute") {
      node.usable = false;
    }
  }
  node.reason = absl::StrJoin(reasons, "; ");
  return node;
}

std::string AdviceFor(absl::string_view words) {
  for (const Advice& entry : kAdvice) {
    if (absl::StrContains(words, entry.words)) return entry.advice;
  }
  return "";
}

}  // namespace ijepa::coordinator
