// See kubernetes_objects.h.
#include "coordinator/backends/kubernetes_objects.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/kubernetes_rules.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

// A pod's name is the Job's name, a dash, an index below 4096 and six characters more; a JobSet
// wants it within 63 with four of its own in it, and a letter may come in front.
constexpr size_t kMaxNameBytes = 47;
constexpr size_t kDigestBytes = 8;
// How long Kubernetes keeps a Job that has ended, for us to see how, and for people to look.
constexpr int kKeepEndedSeconds = 3600;
// Beside the worker's own time to drain.
constexpr absl::Duration kStopTime = absl::Seconds(30);
constexpr char kStateDir[] = "/var/lib/ijepa";
constexpr char kQueueLabel[] = "kueue.x-k8s.io/queue-name";
constexpr char kTokenKey[] = "token";
// Of the one group of Jobs in a JobSet.
constexpr char kGang[] = "g";

// FNV-1a: the same in every version, unlike hashes of the standard library.
uint32_t Digest(absl::string_view text) {
  uint32_t digest = 2166136261u;
  for (const unsigned char c : text) digest = (digest ^ c) * 16777619u;
  return digest;
}

// As a Service or a JobSet may be called: beginning with a letter.
std::string LetterFirst(const std::string& job) {
  return absl::ascii_isalpha(job[0]) ? job : absl::StrCat("j", job);
}

json Labels(const KubernetesSetup& setup) {
  return {{kManagedByLabel, kManagedBy},
          {"app.kubernetes.io/name", "ijepa"},
          {"app.kubernetes.io/component", "job"},
          {kCoordinatorLabel, setup.identity}};
}

json FieldEnv(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

json Environment(const std::string& object_name) {
  return json::array(
      {FieldEnv("NODE_NAME", "spec.nodeName"),
       FieldEnv("INDEX", "metadata.annotations['batch.kubernetes.io/job-completion-index']"),
       {{"name", "IJEPA_ALLOCATION_TOKEN"},
        {"valueFrom", {{"secretKeyRef", {{"name", object_name}, {"key", kTokenKey}}}}}}});
}

json Arguments(const AllocationRequest& request, const KubernetesSetup& setup) {
  json arguments = json::array(
      {absl::StrCat("--coordinator=", setup.coordinator),
       absl::StrCat("--node=$(INDEX).$(NODE_NAME).", request.id.Name()),
       absl::StrCat("--slots=", RanksPerPod(*request.spec, request.ranks)),
       absl::StrCat("--state-dir=", kStateDir), "--metrics-listen=0.0.0.0:7443", "--cgroup=none",
       absl::StrCat("--drain-seconds=", absl::ToInt64Seconds(setup.drain)),
       absl::StrCat("--allocation=", request.id.uid, ":", request.id.generation, ":$(NODE_NAME)")});
  if (!setup.tls_secret.empty()) {
    arguments.push_back("--tls-certificate=/tls/tls.crt");
    arguments.push_back("--tls-key=/tls/tls.key");
    arguments.push_back("--tls-authority=/tls/ca.crt");
  }
  return arguments;
}

json Resources(const v1::KubernetesSpec& kubernetes, int ranks_per_pod) {
  json quantities = json::object();
  for (const v1::Label& resource : kubernetes.resources()) {
    quantities[resource.key()] = resource.value();
  }
  if (kubernetes.gpu_resource() != "none") {
    quantities[kubernetes.gpu_resource()] = absl::StrCat(ranks_per_pod);
  }
  return {{"requests", quantities}, {"limits", quantities}};
}

// Volumes of the pod and where the container mounts them.
struct Mounts {
  json volumes = json::array();
  json mounts = json::array();

  void Add(const std::string& name, const std::string& path, json source, bool read_only = false) {
    source["name"] = name;
    volumes.push_back(std::move(source));
    mounts.push_back({{"name", name}, {"mountPath", path}, {"readOnly", read_only}});
  }
};

Mounts MountsFor(const v1::KubernetesSpec& kubernetes, const KubernetesSetup& setup) {
  Mounts all;
  all.Add("state", kStateDir, {{"emptyDir", json::object()}});
  all.Add("tmp", "/tmp", {{"emptyDir", json::object()}});
  all.Add("shm", "/dev/shm",
          {{"emptyDir", {{"medium", "Memory"}, {"sizeLimit", kubernetes.shm_size()}}}});
  if (!setup.tls_secret.empty()) {
    all.Add("tls", "/tls", {{"secret", {{"secretName", setup.tls_secret}, {"defaultMode", 0440}}}},
            true);
  }
  if (!setup.checkpoint_claim.empty()) {
    all.Add("checkpoints", setup.checkpoint_root,
            {{"persistentVolumeClaim", {{"claimName", setup.checkpoint_claim}}}});
  }
  for (int i = 0; i < kubernetes.volumes_size(); ++i) {
    const v1::KubernetesVolume& volume = kubernetes.volumes(i);
    json source = volume.claim().empty()
                      ? json{{"hostPath", {{"path", volume.host_path()}}}}
                      : json{{"persistentVolumeClaim", {{"claimName", volume.claim()}}}};
    all.Add(absl::StrCat("volume-", i), volume.mount_path(), std::move(source), volume.read_only());
  }
  return all;
}

json Container(const AllocationRequest& request, const KubernetesSetup& setup,
               const std::string& name) {
  const v1::KubernetesSpec& kubernetes = request.spec->kubernetes();
  return {{"name", "worker"},
          {"image", kubernetes.has_image() ? kubernetes.image() : setup.image},
          {"args", Arguments(request, setup)},
          {"env", Environment(name)},
          {"ports", json::array({{{"name", "metrics"}, {"containerPort", 7443}}})},
          {"resources", Resources(kubernetes, RanksPerPod(*request.spec, request.ranks))},
          {"securityContext",
           {{"allowPrivilegeEscalation", false},
            {"readOnlyRootFilesystem", true},
            {"capabilities", {{"drop", json::array({"ALL"})}}}}},
          {"volumeMounts", MountsFor(kubernetes, setup).mounts}};
}

json Tolerations(const v1::KubernetesSpec& kubernetes) {
  json tolerations = json::array();
  for (const v1::KubernetesToleration& toleration : kubernetes.tolerations()) {
    json entry = json::object();
    if (!toleration.key().empty()) entry["key"] = toleration.key();
    if (!toleration.operator_().empty()) entry["operator"] = toleration.operator_();
    if (!toleration.value().empty()) entry["value"] = toleration.value();
    if (!toleration.effect().empty()) entry["effect"] = toleration.effect();
    tolerations.push_back(std::move(entry));
  }
  return tolerations;
}

json PodSpec(const AllocationRequest& request, const KubernetesSetup& setup,
             const std::string& name) {
  const v1::KubernetesSpec& kubernetes = request.spec->kubernetes();
  json pod = {{"restartPolicy", "Never"},
              {"subdomain", LetterFirst(name)},
              {"automountServiceAccountToken", false},
              {"enableServiceLinks", false},
              {"terminationGracePeriodSeconds", absl::ToInt64Seconds(setup.drain + kStopTime)},
              {"securityContext",
               {{"runAsNonRoot", true},
                {"runAsUser", setup.user},
                {"runAsGroup", setup.user},
                {"fsGroup", setup.user},
                {"fsGroupChangePolicy", "OnRootMismatch"},
                {"seccompProfile", {{"type", "RuntimeDefault"}}}}},
              {"containers", json::array({Container(request, setup, name)})},
              {"volumes", MountsFor(kubernetes, setup).volumes}};
  if (kubernetes.host_network()) {
    pod["hostNetwork"] = true;
    pod["dnsPolicy"] = "ClusterFirstWithHostNet";
  }
  for (const v1::Label& label : kubernetes.node_selector()) {
    pod["nodeSelector"][label.key()] = label.value();
  }
  if (kubernetes.tolerations_size() > 0) pod["tolerations"] = Tolerations(kubernetes);
  if (kubernetes.has_pod_priority_class()) {
    pod["priorityClassName"] = kubernetes.pod_priority_class();
  }
  const std::string account =
      kubernetes.has_service_account() ? kubernetes.service_account() : setup.service_account;
  if (!account.empty()) pod["serviceAccountName"] = account;
  if (!setup.pull_secret.empty()) {
    pod["imagePullSecrets"] = json::array({{{"name", setup.pull_secret}}});
  }
  return pod;
}

// Metadata of what goes with the Job.
json OwnedMetadata(const json& owner, const std::string& name) {
  const json& about = owner.at("metadata");
  return {{"name", name},
          {"labels", about.at("labels")},
          {"ownerReferences", json::array({{{"apiVersion", owner.at("apiVersion")},
                                            {"kind", owner.at("kind")},
                                            {"name", about.at("name")},
                                            {"uid", about.at("uid")}}})}};
}

absl::StatusOr<json> NamedJob(const AllocationRequest& request, const KubernetesSetup& setup,
                              const std::string& name) {
  const v1::KubernetesSpec& kubernetes = request.spec->kubernetes();
  const int pods = request.ranks / RanksPerPod(*request.spec, request.ranks);
  json pod = {{"metadata", {{"labels", Labels(setup)}}}, {"spec", PodSpec(request, setup, name)}};
  if (kubernetes.has_pod_patch()) {
    IJEPA_ASSIGN_OR_RETURN(const std::string patch, spec::PodPatchAsJson(kubernetes.pod_patch()));
    pod.merge_patch(json::parse(patch, nullptr, false));
    // It finds its own pods by them.
    pod["metadata"]["labels"].update(Labels(setup));
  }
  json labels = Labels(setup);
  if (kubernetes.has_local_queue()) labels[kQueueLabel] = kubernetes.local_queue();
  return json{{"apiVersion", "batch/v1"},
              {"kind", "Job"},
              {"metadata",
               {{"name", name},
                {"labels", labels},
                {"annotations",
                 {{kAllocationAnnotation, request.id.Name()},
                  {"ijepa/job", request.id.job},
                  {"ijepa/generation", absl::StrCat(request.id.generation)}}}}},
              {"spec",
               {{"suspend", true},
                {"completionMode", "Indexed"},
                {"completions", pods},
                {"parallelism", pods},
                // A pod that is lost ends the attempt; the next one is ours to begin.
                {"backoffLimit", 0},
                {"podReplacementPolicy", "Failed"},
                {"ttlSecondsAfterFinished", kKeepEndedSeconds},
                {"template", pod}}}};
}

}  // namespace

std::string ObjectName(absl::string_view allocation) {
  if (allocation.size() <= kMaxNameBytes) return std::string(allocation);
  std::string head(allocation.substr(0, kMaxNameBytes - kDigestBytes - 1));
  while (!head.empty() && head.back() == '-') head.pop_back();
  return absl::StrCat(head, "-", absl::Hex(Digest(allocation), absl::kZeroPad8));
}

std::string JobSetName(absl::string_view allocation) { return LetterFirst(ObjectName(allocation)); }

std::string ChildJobName(const std::string& job_set) {
  return absl::StrCat(job_set, "-", kGang, "-0");
}

int RanksPerPod(const v1::JobSpec& spec, int ranks) {
  int per_pod = std::min(spec.kubernetes().ranks_per_pod(), ranks);
  while (per_pod > 1 && ranks % per_pod != 0) --per_pod;
  return std::max(per_pod, 1);
}

absl::StatusOr<json> JobObject(const AllocationRequest& request, const KubernetesSetup& setup) {
  return NamedJob(request, setup, ObjectName(request.id.Name()));
}

absl::StatusOr<json> JobSetObject(const AllocationRequest& request, const KubernetesSetup& setup) {
  const std::string name = JobSetName(request.id.Name());
  IJEPA_ASSIGN_OR_RETURN(json job, NamedJob(request, setup, name));
  json& spec = job["spec"];
  // These are its controller's.
  spec.erase("suspend");
  spec.erase("ttlSecondsAfterFinished");
  spec["template"]["spec"].erase("subdomain");
  // Without a failure policy it fails with its Job, and is not started over.
  return json{
      {"apiVersion", kJobSetVersion},
      {"kind", kJobSetKind},
      {"metadata", job["metadata"]},
      {"spec",
       {{"suspend", true},
        {"ttlSecondsAfterFinished", kKeepEndedSeconds},
        {"network", {{"enableDNSHostnames", true}, {"publishNotReadyAddresses", true}}},
        {"replicatedJobs",
         json::array({{{"name", kGang}, {"replicas", 1}, {"template", {{"spec", spec}}}}})}}}};
}

json ServiceObject(const json& owner) {
  const std::string job = owner.at("metadata").at("name");
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", OwnedMetadata(owner, LetterFirst(job))},
          {"spec",
           {{"clusterIP", "None"},
            {"publishNotReadyAddresses", true},
            {"selector", {{kJobLabel, job}}}}}};
}

json SecretObject(const json& owner, const std::string& token) {
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"type", "Opaque"},
          {"immutable", true},
          {"metadata", OwnedMetadata(owner, owner.at("metadata").at("name"))},
          {"data", {{kTokenKey, absl::Base64Escape(token)}}}};
}

json CompletionPatch(const v1::JobSpec& spec) {
  json patch = {{"metadata", {{"annotations", {{kCompleteAnnotation, "true"}}}}}};
  if (!spec.kubernetes().has_local_queue()) patch["spec"]["suspend"] = false;
  return patch;
}

}  // namespace ijepa::coordinator
