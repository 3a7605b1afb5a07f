// States of Jobs, pods and nodes, mapped one by one. The texts are Kubernetes' own.
#include "coordinator/backends/kubernetes_observe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordinator/backends/kubernetes_objects.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json JobWith(const json& status, bool suspended = false) {
  return {
      {"metadata", {{"name", "demo-g1"}, {"annotations", {{kAllocationAnnotation, "demo-g1"}}}}},
      {"spec", {{"completions", 2}, {"suspend", suspended}}},
      {"status", status}};
}

json Conditions(const char* type, const char* reason, const char* message) {
  return {{"conditions",
           json::array(
               {{{"type", type}, {"status", "True"}, {"reason", reason}, {"message", message}}})}};
}

json PodWith(const char* phase, json status = json::object()) {
  status["phase"] = phase;
  return {{"metadata",
           {{"name", "demo-g1-0-x"}, {"labels", {{"batch.kubernetes.io/job-name", "demo-g1"}}}}},
          {"spec", {{"nodeName", "node-a"}}},
          {"status", status}};
}

ObservedAllocation Observe(const json& job, const std::vector<json>& pods,
                           const std::string& failure = "") {
  std::vector<KubernetesPod> seen;
  for (const json& pod : pods) seen.push_back(PodFrom(pod));
  return AllocationFrom(job, seen, failure);
}

ObservedAllocation Failed(const json& pod) {
  return Observe(JobWith(Conditions("Failed", "BackoffLimitExceeded", "Job has reached the limit")),
                 {pod});
}

TEST(KubernetesObserveTest, RunsOnceEveryPodDoes) {
  EXPECT_EQ(Observe(JobWith({}), {PodWith("Running")}).phase, ObservedPhase::kPending);
  const auto all = Observe(JobWith({}), {PodWith("Running"), PodWith("Running")});
  EXPECT_EQ(all.phase, ObservedPhase::kRunning);
  EXPECT_EQ(all.state, "2 of 2 pods running");
  EXPECT_THAT(all.hosts, ElementsAre("node-a"));
}

TEST(KubernetesObserveTest, RunsWhileItsPodsEndOneAfterTheOther) {
  // What waits may be ended at once; workers that end by themselves are given their time.
  EXPECT_EQ(Observe(JobWith({}), {PodWith("Running"), PodWith("Succeeded")}).phase,
            ObservedPhase::kRunning);
  EXPECT_EQ(Observe(JobWith({}), {PodWith("Running"), PodWith("Pending")}).phase,
            ObservedPhase::kPending);
}

TEST(KubernetesObserveTest, HasEndedOnlyOnceKubernetesSaysSoOfTheWholeJob) {
  const auto ending = Observe(JobWith(Conditions("FailureTarget", "BackoffLimitExceeded", "")),
                              {PodWith("Failed")});
  EXPECT_EQ(ending.phase, ObservedPhase::kRunning);
  const auto done = Observe(JobWith(Conditions("Complete", "CompletionsReached", "")), {});
  EXPECT_EQ(done.phase, ObservedPhase::kEnded);
  EXPECT_EQ(done.end, AllocationEnd::kCompleted);
}

TEST(KubernetesObserveTest, EndsAreToldApart) {
  const struct {
    json pod;
    AllocationEnd end;
  } cases[] = {
      {PodWith("Failed", {{"reason", "Evicted"}, {"message", "The node was low on memory"}}),
       AllocationEnd::kPreempted},
      {PodWith("Failed", Conditions("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API")),
       AllocationEnd::kPreempted},
      {PodWith("Failed", Conditions("DisruptionTarget", "PreemptionByScheduler", "preempted")),
       AllocationEnd::kPreempted},
      {PodWith("Failed", Conditions("DisruptionTarget", "DeletionByTaintManager", "taint")),
       AllocationEnd::kNodeFailed},
      {PodWith(
           "Failed",
           {{"containerStatuses",
             json::array(
                 {{{"state", {{"terminated", {{"reason", "OOMKilled"}, {"exitCode", 137}}}}}}})}}),
       AllocationEnd::kOutOfMemory},
      {PodWith("Failed",
               {{"containerStatuses",
                 json::array(
                     {{{"state", {{"terminated", {{"reason", "Error"}, {"exitCode", 1}}}}}}})}}),
       AllocationEnd::kFailed},
  };
  for (const auto& entry : cases) {
    const auto seen = Failed(entry.pod);
    EXPECT_EQ(seen.phase, ObservedPhase::kEnded);
    EXPECT_EQ(seen.end, entry.end) << seen.reason;
    EXPECT_EQ(seen.host, "node-a");
  }
  EXPECT_THAT(Failed(cases[5].pod).reason, HasSubstr("pod demo-g1-0-x: Error: exit code 1"));
  EXPECT_EQ(Observe(JobWith(Conditions("Failed", "DeadlineExceeded", "")), {}).end,
            AllocationEnd::kTimeLimit);
}

TEST(KubernetesObserveTest, AJobSetIsSeenAsItsJobWouldBe) {
  json set = {{"metadata", JobWith({})["metadata"]},
              {"spec",
               {{"suspend", true},
                {"replicatedJobs",
                 json::array({{{"name", "g"}, {"template", {{"spec", {{"completions", 2}}}}}}})}}},
              {"status", json::object()}};
  EXPECT_EQ(Observe(JobFromJobSet(set), {}).state, "Suspended");
  set["spec"]["suspend"] = false;
  json pod = PodWith("Running");
  pod["metadata"]["labels"] = {{kJobLabel, "demo-g1-g-0"}, {kJobSetLabel, "demo-g1"}};
  EXPECT_EQ(PodFrom(pod).job, "demo-g1");
  EXPECT_EQ(Observe(JobFromJobSet(set), {pod}).state, "1 of 2 pods running");
  set["status"] = Conditions("Completed", "AllJobsCompleted", "jobset completed successfully");
  EXPECT_EQ(Observe(JobFromJobSet(set), {}).end, AllocationEnd::kCompleted);
  EXPECT_EQ(Observe(JobFromJobSet(set), {}).phase, ObservedPhase::kEnded);
  set["status"] = Conditions("Failed", "FailedJobs", "first failed job: demo-g1-g-0");
  EXPECT_THAT(Observe(JobFromJobSet(set), {}).reason, HasSubstr("first failed job: demo-g1-g-0"));
  const auto evicted =
      Observe(JobFromJobSet(set), {PodWith("Failed", {{"reason", "Evicted"}, {"message", ""}})});
  EXPECT_EQ(evicted.end, AllocationEnd::kPreempted);
  EXPECT_EQ(evicted.host, "node-a");
}

TEST(KubernetesObserveTest, ThePodThatOthersEndedIsTheCulprit) {
  json crashed = PodWith("Failed", {{"reason", "Error"}});
  json evicted = PodWith("Failed", {{"reason", "Evicted"}});
  evicted["spec"]["nodeName"] = "node-b";
  const auto seen =
      Observe(JobWith(Conditions("Failed", "BackoffLimitExceeded", "")), {crashed, evicted});
  EXPECT_EQ(seen.end, AllocationEnd::kPreempted);
  EXPECT_EQ(seen.host, "node-b");
}

TEST(KubernetesObserveTest, WaitsAreSaidInKubernetesWordsWithOurAdvice) {
  json waiting = PodWith("Pending");
  waiting["spec"].erase("nodeName");
  waiting["status"]["conditions"] =
      json::array({{{"type", "PodScheduled"},
                    {"status", "False"},
                    {"reason", "Unschedulable"},
                    {"message", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}}});
  const auto unschedulable = Observe(JobWith({}), {waiting});
  EXPECT_EQ(unschedulable.phase, ObservedPhase::kPending);
  EXPECT_THAT(unschedulable.reason, HasSubstr("0/3 nodes are available: 3 Insufficient"));
  EXPECT_THAT(unschedulable.advice, HasSubstr("kubernetes.ranks_per_pod"));
  const auto no_image =
      Observe(JobWith({}),
              {PodWith("Pending",
                       {{"containerStatuses",
                         json::array({{{"state",
                                        {{"waiting",
                                          {{"reason", "ImagePullBackOff"},
                                           {"message", "Back-off pulling image \"x\""}}}}}}})}})});
  EXPECT_THAT(no_image.reason, HasSubstr("ImagePullBackOff: Back-off pulling image"));
  EXPECT_THAT(no_image.advice, HasSubstr("kubernetes.image"));
  const auto quota =
      Observe(JobWith({}), {}, "Error creating: pods \"a\" is forbidden: exceeded quota: gpus");
  EXPECT_THAT(quota.reason, HasSubstr("exceeded quota: gpus"));
  EXPECT_THAT(quota.advice, HasSubstr("ResourceQuota"));
  const auto half = Observe(JobWith({}), {PodWith("Running")}, "exceeded quota: gpus");
  EXPECT_THAT(half.reason, HasSubstr("exceeded quota: gpus"));
  EXPECT_THAT(
      AdviceFor("jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create"),
      HasSubstr("the coordinator's service account the right"));
  EXPECT_THAT(AdviceFor("jobsets.jobset.x-k8s.io is forbidden: User \"u\" cannot list resource "
                        "\"jobsets\" in API group \"jobset.x-k8s.io\""),
              HasSubstr("job_sets"));
  EXPECT_EQ(Observe(JobWith({}, true), {}).state, "Suspended");
}

TEST(KubernetesObserveTest, AMountThatFailedLongAgoDoesNotSayWhyAPodWaits) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto reason = [&](const json& pod, absl::Duration ago) {
    KubernetesPod one = PodFrom(pod);
    const std::string last = absl::FormatTime(absl::RFC3339_full, now - ago, absl::UTCTimeZone());
    const KubernetesEvent event = EventFrom(
        {{"involvedObject", {{"name", one.name}}}, {"message", "why"}, {"lastTimestamp", last}});
    EXPECT_EQ(event.about, one.name);
    TakeMountFailure(event, now, one);
    return one.reason;
  };
  const auto says = [](const char* status) {
    return PodWith("Pending",
                   {{"conditions",
                     json::array({{{"type", "PodReadyToStartContainers"}, {"status", status}}})}});
  };
  EXPECT_EQ(reason(PodWith("Pending"), absl::Minutes(1)), kFailedMount);
  EXPECT_EQ(reason(PodWith("Pending"), absl::Minutes(6)), "");
  EXPECT_EQ(reason(PodWith("Running"), absl::Minutes(1)), "");
  EXPECT_EQ(reason(says("False"), absl::Minutes(6)), kFailedMount);
  EXPECT_EQ(reason(says("True"), absl::Minutes(1)), "");
}

TEST(KubernetesObserveTest, EachRefusalHasTheAdviceThatFitsIt) {
  const struct {
    const char* words;
    const char* advice;
  } cases[] = {
      {"pods \"a\" is forbidden: exceeded quota: gpus, requested: pods=1", "ResourceQuota"},
      {"pods \"a\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
       "LimitRange"},
      {"pods \"a\" is forbidden: no PriorityClass with name none was found", "PriorityClass"},
      {"pods \"a\" is forbidden: error looking up service account a/b: serviceaccount \"b\" not "
       "found",
       "kubernetes.service_account"},
      {"pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": hostPath",
       "PodSecurity level"},
      {"jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource",
       "service account the right"},
      {"namespaces \"training\" not found", "make the namespace"},
      {"ErrImagePull: manifest unknown", "kubernetes.image"},
      {"ErrImageNeverPull: Container image is not present", "on every node"},
      {"InvalidImageName: couldn't parse image reference", "REGISTRY/NAME:TAG"},
      {"FailedMount: MountVolume.SetUp failed for volume \"tls\" : secret \"a\" not found",
       "tls_secret"},
      {"CreateContainerConfigError: secret \"a\" not found", "Secret or ConfigMap"},
      {"0/2 nodes are available: 2 node(s) had untolerated taint {gpu: }", "tolerations"},
      {"0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector",
       "node_selector"},
      {"0/2 nodes are available: persistentvolumeclaim \"photos\" not found.", "make the claim"},
      {"Unauthorized: Unauthorized", "renew it"},
      {"the API server https://k: SSL certificate problem: unable to get local issuer certificate",
       "take both from the same cluster"},
      {"the API server https://k: Could not resolve host: k", "server of the kubeconfig"},
      {"the API server https://k: Failed to connect to k port 6443: Couldn't connect to server",
       "server of the kubeconfig"},
  };
  for (const auto& one : cases)
    EXPECT_THAT(AdviceFor(one.words), HasSubstr(one.advice)) << one.words;
  EXPECT_EQ(AdviceFor("2 of 2 pods running"), "");
}

TEST(KubernetesObserveTest, NodesSayWhyTheyAreNotUsable) {
  json node = {
      {"metadata", {{"name", "node-a"}}},
      {"spec", json::object()},
      {"status", {{"conditions", json::array({{{"type", "Ready"}, {"status", "True"}}})}}}};
  EXPECT_TRUE(NodeFrom(node).usable);
  json cordoned = node;
  cordoned["spec"]["unschedulable"] = true;
  EXPECT_EQ(NodeFrom(cordoned).state, "Ready,SchedulingDisabled");
  EXPECT_FALSE(NodeFrom(cordoned).usable);
  json silent = node;
  silent["status"]["conditions"][0] = {{"type", "Ready"},
                                       {"status", "Unknown"},
                                       {"reason", "NodeStatusUnknown"},
                                       {"message", "Kubelet stopped posting node status."}};
  silent["spec"]["taints"] =
      json::array({{{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}}});
  EXPECT_FALSE(NodeFrom(silent).usable);
  EXPECT_EQ(NodeFrom(silent).reason,
            "NodeStatusUnknown: Kubelet stopped posting node status.; taint "
            "node.kubernetes.io/unreachable:NoExecute");
}

TEST(KubernetesObserveTest, AnswersOfAnyShapeAreBorne) {
  for (const char* text :
       {"{}", "null", R"({"metadata": 7, "status": []})",
        R"({"status": {"conditions": [{"type": 1}], "containerStatuses": {}}})"}) {
    const json object = json::parse(text);
    if (!object.is_object()) continue;
    EXPECT_EQ(AllocationFrom(JobFromJobSet(object), {}, "").name, "");
    EXPECT_EQ(PodFrom(object).job, "");
    EXPECT_FALSE(NodeFrom(object).usable);
  }
}

}  // namespace
}  // namespace ijepa::coordinator
