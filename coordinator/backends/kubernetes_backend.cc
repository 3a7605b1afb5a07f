// See kubernetes_backend.h.
#include "coordinator/backends/kubernetes_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

// Many events come at once (every pod of a gang): what is worth one look waits for the rest.
constexpr absl::Duration kSettle = absl::Milliseconds(100);
// From SIGTERM to SIGKILL of what nobody wants any more. Not 0, with which the API server forgets a
// pod before its processes have ended.
constexpr int kKillSeconds = 5;
constexpr char kJobs[] = "jobs";
constexpr char kJobSets[] = "jobsets";
constexpr char kPods[] = "pods";

std::string Metadata(const json& object, const char* key) {
  const auto about = object.find("metadata");
  if (about == object.end() || !about->is_object()) return "";
  const auto found = about->find(key);
  return found != about->end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Annotation(const json& object, const char* key) {
  const json none = json::object();
  const json about = object.value("metadata", none);
  return about.value("annotations", none).value(key, "");
}

// As objects say it, and as paths do.
const char* CollectionOf(const json& job) {
  return job.value("kind", "") == kJobSetKind ? kJobSets : kJobs;
}

const char* Noun(const std::string& collection) {
  return collection == kJobSets ? kJobSetKind : "Job";
}

// What Kill wants of a Job that is not complete.
ObservedAllocation HalfMade(const json& job) {
  ObservedAllocation half;
  half.name = Annotation(job, kAllocationAnnotation);
  half.handle = Metadata(job, "name");
  return half;
}

size_t Completions(const json& job) {
  return job.value("spec", json::object()).value("completions", size_t{1});
}

// An answer's shape that no API server gives; nlohmann::json says so by throwing.
absl::Status Strange(const std::exception& error) {
  return absl::UnavailableError(absl::StrCat("the API server's answer: ", error.what()));
}

// The server's words with our advice.
absl::Status Advised(const absl::Status& status) {
  const std::string advice = AdviceFor(status.message());
  if (status.ok() || advice.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ", advice));
}

absl::Status NotAllowed(const char* what, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the job has kubernetes.", what, ", which is not allowed here: ", why,
      "; remove it, or have backends.kubernetes.allow_", what, " set to true (chart: jobs.allow)"));
}

}  // namespace

KubernetesBackend::KubernetesBackend(Options options)
    : options_(std::move(options)), client_(options_.access) {}

std::string KubernetesBackend::Collection(const std::string& kind) const {
  std::string group = "/api/v1";
  if (kind == kJobs) group = "/apis/batch/v1";
  if (kind == kJobSets) group = absl::StrCat("/apis/", kJobSetVersion);
  return absl::StrCat(group, "/namespaces/", EscapedForUrl(options_.name_space), "/", kind);
}

std::string KubernetesBackend::Ours(const std::string& kind) const {
  return absl::StrCat(Collection(kind), "?labelSelector=",
                      EscapedForUrl(absl::StrCat(kManagedByLabel, "=", kManagedBy, ",",
                                                 kCoordinatorLabel, "=", options_.setup.identity)));
}

absl::Status KubernetesBackend::Validate(const v1::JobSpec& spec) const {
  if (!spec.kubernetes().has_image() && options_.setup.image.empty()) {
    return absl::InvalidArgumentError(
        "kubernetes.image is missing, and backends.kubernetes has none; set it to the image of a "
        "worker, such as registry.example.org/ijepa/ijepa-worker:0.1.0");
  }
  if (spec.kubernetes().has_pod_patch() && !options_.setup.allow_pod_patch) {
    return NotAllowed("pod_patch", "it could give a job rights on the nodes");
  }
  for (const v1::KubernetesVolume& volume : spec.kubernetes().volumes()) {
    if (!volume.host_path().empty() && !options_.setup.allow_host_path) {
      return NotAllowed("host_path", "it gives a job folders of the nodes");
    }
    if (volume.mount_path() != options_.setup.checkpoint_root ||
        options_.setup.checkpoint_claim.empty()) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("kubernetes.volumes mounts ", volume.mount_path(),
                     ", where backends.kubernetes.checkpoint_claim is; remove one"));
  }
  return absl::OkStatus();
}

absl::Status KubernetesBackend::LookForJobSets(absl::Duration within) {
  if (job_sets_.has_value()) return absl::OkStatus();
  const TimeLeft left(within);
  absl::Status known =
      client_.Call({"GET", absl::StrCat("/apis/", kJobSetVersion), ""}, within).status();
  // Only then: of what is not installed the next one may say that it is forbidden.
  if (known.ok()) {
    const std::string first = absl::StrCat(Ours(kJobSets), "&limit=1");
    known = client_.Call({"GET", first, ""}, left.Get()).status();
    if (absl::IsPermissionDenied(known)) {
      LogInfo("kubernetes: JobSets are neither made nor seen: ", Advised(known).message());
    }
  }
  const bool says_no = absl::IsNotFound(known) || absl::IsPermissionDenied(known);
  if (!known.ok() && !says_no) return known;
  job_sets_ = known.ok();
  LogInfo("kubernetes: gangs are ", MakesJobSets() ? "JobSets" : "Indexed Jobs");
  return absl::OkStatus();
}

absl::StatusOr<json> KubernetesBackend::MakeJob(const AllocationRequest& request,
                                                absl::Duration within) {
  const TimeLeft left(within);
  IJEPA_RETURN_IF_ERROR(LookForJobSets(within));
  const std::string kind = MakesJobSets() ? kJobSets : kJobs;
  IJEPA_ASSIGN_OR_RETURN(const json job, MakesJobSets() ? JobSetObject(request, options_.setup)
                                                        : JobObject(request, options_.setup));
  const absl::StatusOr<json> made = client_.Call(
      {"POST", absl::StrCat(Collection(kind), "?fieldValidation=Strict"), job.dump()}, left.Get());
  if (!absl::IsAlreadyExists(made.status())) return made;
  const std::string name = Metadata(job, "name");
  IJEPA_ASSIGN_OR_RETURN(
      json found, client_.Call({"GET", absl::StrCat(Collection(kind), "/", name), ""}, left.Get()));
  if (found.at("metadata").contains("deletionTimestamp")) {
    return absl::UnavailableError(
        absl::StrCat("the ", Noun(kind), " ", name, " is still being deleted"));
  }
  if (found.at("metadata").value("labels", json::object()).value(kCoordinatorLabel, "") ==
      options_.setup.identity) {
    return found;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("a ", Noun(kind), " ", name, " is in the namespace ", options_.name_space,
                   " that is not this coordinator's; delete it, or use a namespace of your own"));
}

absl::StatusOr<std::string> KubernetesBackend::Allocate(const AllocationRequest& request,
                                                        absl::Duration within) try {
  const TimeLeft left(within);
  const absl::StatusOr<json> job = MakeJob(request, within);
  if (!job.ok()) return Advised(job.status());
  const std::string name = Metadata(*job, "name");
  const std::string collection = CollectionOf(*job);
  known_[name] = {request.id.Name(), collection};
  killed_.erase(name);
  if (!Annotation(*job, kCompleteAnnotation).empty()) return name;
  std::vector<std::pair<const char*, json>> parts;
  parts.emplace_back("secrets", SecretObject(*job, request.token));
  if (collection == kJobs) parts.emplace_back("services", ServiceObject(*job));
  for (const auto& [kind, object] : parts) {
    const absl::Status made =
        client_.Call({"POST", Collection(kind), object.dump()}, left.Get()).status();
    if (absl::IsAlreadyExists(made)) {
      // Of a Job before, as a rule, with which it is about to go. Our role may not look whose a
      // Secret is, so all is taken back, and made anew when it is asked again.
      const absl::Status gone = Kill(HalfMade(*job), left.Get());
      known_.erase(name);
      if (!gone.ok()) return gone;
      return absl::UnavailableError(absl::StrCat(
          "the ", object.value("kind", ""), " ", Metadata(object, "name"), " of an earlier ",
          Noun(collection), " is still being deleted; if it stays, delete it"));
    }
    if (!made.ok()) return Advised(made);
  }
  // Only now may pods start: a Job without its Secret, left by a coordinator that died in between,
  // is told by the missing mark.
  const std::string path = absl::StrCat(Collection(collection), "/", name);
  const absl::Status marked =
      client_.Call({"PATCH", path, CompletionPatch(*request.spec).dump()}, left.Get()).status();
  if (!marked.ok()) return Advised(marked);
  return name;
} catch (const json::exception& error) {
  return Strange(error);
}

absl::Status KubernetesBackend::Delete(const std::string& object, const std::string& pods,
                                       absl::Duration within) {
  const TimeLeft left(within);
  const absl::Status deleted =
      client_.Call({"DELETE", absl::StrCat(object, "?propagationPolicy=Background"), ""}, within)
          .status();
  if (!deleted.ok() && !absl::IsNotFound(deleted)) return Advised(deleted);
  // The garbage collector would give the pods their own grace.
  const std::string path = absl::StrCat(Collection(kPods), "?labelSelector=", EscapedForUrl(pods),
                                        "&gracePeriodSeconds=", kKillSeconds);
  const absl::Status stopped = client_.Call({"DELETE", path, ""}, left.Get()).status();
  return absl::IsNotFound(stopped) ? absl::OkStatus() : Advised(stopped);
}

absl::Status KubernetesBackend::Kill(const ObservedAllocation& allocation,
                                     absl::Duration within) try {
  const TimeLeft left(within);
  if (const absl::Status looked = LookForJobSets(within); !looked.ok()) return Advised(looked);
  // Of one that was not seen it is not known whether it was made before there were JobSets.
  for (const bool is_set : {true, false}) {
    const std::string kind = is_set ? kJobSets : kJobs;
    if (is_set && !*job_sets_) continue;
    std::string name = allocation.handle;
    if (name.empty()) name = is_set ? JobSetName(allocation.name) : ObjectName(allocation.name);
    if (const auto known = known_.find(name); known != known_.end() && known->second.kind != kind) {
      continue;
    }
    IJEPA_RETURN_IF_ERROR(Delete(absl::StrCat(Collection(kind), "/", name),
                                 absl::StrCat(is_set ? kJobSetLabel : kJobLabel, "=", name),
                                 left.Get()));
    killed_.insert(name);
  }
  return absl::OkStatus();
} catch (const json::exception& error) {
  return Strange(error);
}

absl::StatusOr<KubernetesBackend::Seen> KubernetesBackend::ListAll(absl::Duration within) {
  const TimeLeft left(within);
  Seen seen;
  std::map<std::string, std::string> versions;
  const auto take_job = [&](const json& job) {
    if (!Annotation(job, kAllocationAnnotation).empty()) seen.jobs.push_back(job);
  };
  const auto take_pod = [&](const json& pod) {
    KubernetesPod one = PodFrom(pod);
    seen.pods[one.job].push_back(std::move(one));
  };
  IJEPA_RETURN_IF_ERROR(LookForJobSets(within));
  if (*job_sets_) {
    const auto listed = client_.List(
        Ours(kJobSets), left.Get(), [&](const json& job_set) { take_job(JobFromJobSet(job_set)); });
    // Their definition is gone, and they with it.
    if (absl::IsNotFound(listed.status())) job_sets_.reset();
    if (!listed.ok()) return listed.status();
    versions[kJobSets] = *listed;
  }
  IJEPA_ASSIGN_OR_RETURN(versions[kJobs], client_.List(Ours(kJobs), left.Get(), take_job));
  IJEPA_ASSIGN_OR_RETURN(versions[kPods], client_.List(Ours(kPods), left.Get(), take_pod));
  versions_ = std::move(versions);
  return seen;
}

std::map<std::string, KubernetesEvent> KubernetesBackend::EventsOf(const char* kind,
                                                                   const char* reason,
                                                                   absl::Duration within) {
  std::map<std::string, KubernetesEvent> said;
  const std::string path =
      absl::StrCat(Collection("events"), "?fieldSelector=",
                   EscapedForUrl(absl::StrCat("involvedObject.kind=", kind, ",reason=", reason)));
  const absl::Status status = client_
                                  .List(path, within,
                                        [&](const json& object) {
                                          KubernetesEvent event = EventFrom(object);
                                          KubernetesEvent& newest = said[event.about];
                                          if (newest.last <= event.last) newest = std::move(event);
                                        })
                                  .status();
  // They only say more of what is known without them.
  if (!status.ok()) LogInfo("kubernetes: events cannot be listed: ", status.message());
  return said;
}

void KubernetesBackend::AddMountFailures(Seen& seen, absl::Duration within) {
  const bool any = std::any_of(seen.pods.begin(), seen.pods.end(), [](const auto& gang) {
    return std::any_of(gang.second.begin(), gang.second.end(), MayWaitForMount);
  });
  if (!any) return;
  const std::map<std::string, KubernetesEvent> said = EventsOf("Pod", kFailedMount, within);
  const absl::Time now = Clock::Real().Now();
  for (auto& [job, pods] : seen.pods) {
    for (KubernetesPod& pod : pods) {
      const auto event = said.find(pod.name);
      if (event != said.end()) TakeMountFailure(event->second, now, pod);
    }
  }
}

void KubernetesBackend::KeepCulprits(Seen& seen) {
  std::map<std::string, KubernetesPod> kept;
  for (const json& job : seen.jobs) {
    const std::string name = Metadata(job, "name");
    std::vector<KubernetesPod>& pods = seen.pods[name];
    if (const auto before = culprits_.find(name); before != culprits_.end()) {
      pods.erase(
          std::remove_if(pods.begin(), pods.end(),
                         [&](const KubernetesPod& pod) { return pod.name == before->second.name; }),
          pods.end());
      pods.push_back(before->second);
    }
    if (const KubernetesPod* culprit = CulpritOf(pods); culprit != nullptr) kept[name] = *culprit;
  }
  culprits_ = std::move(kept);
}

void KubernetesBackend::AddDeleted(const Seen& seen, std::map<std::string, Known> listed,
                                   std::vector<ObservedAllocation>& allocations) {
  for (const auto& [handle, known] : known_) {
    if (listed.count(handle) > 0) continue;
    ObservedAllocation gone;
    gone.name = known.allocation;
    gone.handle = handle;
    const auto pods = seen.pods.find(handle);
    const bool stopping = killed_.count(handle) == 0 && pods != seen.pods.end() &&
                          std::any_of(pods->second.begin(), pods->second.end(), LivesOn);
    gone.phase = stopping ? ObservedPhase::kRunning : ObservedPhase::kEnded;
    gone.end = AllocationEnd::kCancelled;
    gone.state = "Deleted";
    gone.reason = absl::StrCat("the ", Noun(known.kind), " ", handle, " was deleted");
    allocations.push_back(std::move(gone));
    if (stopping) listed.emplace(handle, known);
  }
  known_ = std::move(listed);
  std::erase_if(killed_, [&](const std::string& handle) { return known_.count(handle) == 0; });
}

absl::StatusOr<std::vector<ObservedAllocation>> KubernetesBackend::Reconcile(
    absl::Duration within) try {
  const TimeLeft left(within);
  absl::StatusOr<Seen> seen = ListAll(within);
  if (!seen.ok()) return Advised(seen.status());
  std::map<std::string, KubernetesEvent> failures;
  const bool lacking = std::any_of(seen->jobs.begin(), seen->jobs.end(), [&](const json& job) {
    const auto pods = seen->pods.find(Metadata(job, "name"));
    return pods == seen->pods.end() || pods->second.size() < Completions(job);
  });
  if (lacking) failures = EventsOf("Job", "FailedCreate", left.Get());
  AddMountFailures(*seen, left.Get());
  KeepCulprits(*seen);
  std::vector<ObservedAllocation> allocations;
  std::map<std::string, Known> listed;
  for (const json& job : seen->jobs) {
    const std::string name = Metadata(job, "name");
    if (Annotation(job, kCompleteAnnotation).empty()) {
      // Left by an Allocate that did not end; it is asked for again.
      const absl::Status gone = Kill(HalfMade(job), left.Get());
      if (!gone.ok()) return gone;
      known_.erase(name);
      continue;
    }
    const KubernetesEvent& failure = failures[failures.count(name) > 0 ? name : ChildJobName(name)];
    allocations.push_back(AllocationFrom(job, seen->pods[name], failure.message));
    listed[name] = {allocations.back().name, CollectionOf(job)};
  }
  AddDeleted(*seen, std::move(listed), allocations);
  return allocations;
} catch (const json::exception& error) {
  return Strange(error);
}

void KubernetesBackend::Wait(absl::Duration within) {
  const TimeLeft left(within);
  std::vector<std::string> watches;
  for (const auto& [kind, version] : versions_) {
    watches.push_back(
        absl::StrCat(Ours(kind), "&watch=1&resourceVersion=", version,
                     "&timeoutSeconds=", std::max<int64_t>(absl::ToInt64Seconds(within), 1)));
  }
  const absl::Status status = client_.WaitForNews(watches, within);
  const std::string trouble(status.message());
  if (trouble != watch_trouble_ && !status.ok()) {
    LogInfo("kubernetes: watching fails, so it is polled: ", trouble);
  }
  watch_trouble_ = trouble;
  client_.WaitForNews({}, status.ok() ? std::min(left.Get(), kSettle) : left.Get()).IgnoreError();
}

absl::StatusOr<std::vector<BackendNode>> KubernetesBackend::Nodes(absl::Duration within) try {
  std::vector<BackendNode> nodes;
  const absl::Status listed =
      client_
          .List("/api/v1/nodes", within, [&](const json& node) { nodes.push_back(NodeFrom(node)); })
          .status();
  if (!listed.ok()) return Advised(listed);
  return nodes;
} catch (const json::exception& error) {
  return Strange(error);
}

}  // namespace ijepa::coordinator
