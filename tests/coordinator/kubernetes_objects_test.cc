// The objects of an attempt; that an API server takes them is tests/integration/kubernetes.
#include "coordinator/backends/kubernetes_objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::Not;

AllocationRequest RequestFor(const std::string& yaml, int ranks = 16) {
  v1::JobSpec spec = *spec::ReadJobSpec(yaml, "job.yaml");
  spec::ResolveDefaults(&spec);
  AllocationRequest request;
  request.id = {"demo-k3q7xa", "uid-1", 2};
  request.ranks = ranks;
  request.spec = std::make_shared<const v1::JobSpec>(std::move(spec));
  request.token = "secret";
  return request;
}

KubernetesSetup PlainSetup() {
  KubernetesSetup setup;
  setup.coordinator = "coordinator.ijepa:7441";
  setup.identity = "0a1b2c3d";
  setup.image = "ijepa-worker:1";
  return setup;
}

json PodOf(const AllocationRequest& request, const KubernetesSetup& setup) {
  return JobObject(request, setup)->at("spec").at("template").at("spec");
}

TEST(KubernetesObjectsTest, AnAttemptIsOneSuspendedIndexedJobThatNeverRetries) {
  const json job = *JobObject(RequestFor("{}"), PlainSetup());
  EXPECT_EQ(job["metadata"]["name"], "demo-k3q7xa-g2");
  EXPECT_EQ(job["metadata"]["annotations"][kAllocationAnnotation], "demo-k3q7xa-g2");
  EXPECT_FALSE(job["metadata"]["annotations"].contains(kCompleteAnnotation));
  const json& spec = job["spec"];
  EXPECT_EQ(spec["completionMode"], "Indexed");
  EXPECT_EQ(spec["completions"], 2);
  EXPECT_EQ(spec["parallelism"], 2);
  EXPECT_EQ(spec["backoffLimit"], 0);
  EXPECT_EQ(spec["suspend"], true);
  EXPECT_EQ(spec["podReplacementPolicy"], "Failed");
  EXPECT_EQ(spec["template"]["spec"]["restartPolicy"], "Never");
}

TEST(KubernetesObjectsTest, TheTokenIsInTheSecretAndNowhereElse) {
  AllocationRequest request = RequestFor("{}");
  request.token = "token-of-the-attempt";
  json job = *JobObject(request, PlainSetup());
  EXPECT_THAT(job.dump(), Not(::testing::HasSubstr(request.token)));
  job["metadata"]["uid"] = "u";
  EXPECT_THAT(ServiceObject(job).dump(), Not(::testing::HasSubstr(request.token)));
  EXPECT_EQ(SecretObject(job, "secret")["data"]["token"], "c2VjcmV0");
  EXPECT_EQ(SecretObject(job, "secret")["metadata"]["ownerReferences"][0]["uid"], "u");
}

TEST(KubernetesObjectsTest, SlotsOfAllPodsAddUpToTheRanks) {
  for (const int ranks : {1, 7, 8, 12, 16, 20, 4096}) {
    const AllocationRequest request = RequestFor("{}", ranks);
    const int per_pod = RanksPerPod(*request.spec, ranks);
    const json job = *JobObject(request, PlainSetup());
    EXPECT_EQ(job["spec"]["completions"].get<int>() * per_pod, ranks) << ranks;
    EXPECT_LE(per_pod, 8);
  }
  EXPECT_EQ(RanksPerPod(*RequestFor("{}").spec, 12), 6);
}

TEST(KubernetesObjectsTest, TakesTheSectionOfTheJob) {
  const json pod = PodOf(RequestFor(R"(
kubernetes:
  image: other:2
  ranks_per_pod: 4
  node_selector: {pool: h100}
  tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
  pod_priority_class: high
  volumes: [{claim: photos, mount_path: /data, read_only: true}, {host_path: /x, mount_path: /y}]
  shm_size: 2Gi
  resources: {cpu: "48", rdma/hca: "1"}
  service_account: trainer
  host_network: true
  pod_patch: {spec: {dnsPolicy: Default, nodeSelector: {zone: a}}, metadata: {labels: {a: b}}}
)"),
                         PlainSetup());
  const json& container = pod["containers"][0];
  EXPECT_EQ(container["image"], "other:2");
  EXPECT_EQ(container["resources"]["limits"],
            json({{"cpu", "48"}, {"rdma/hca", "1"}, {"nvidia.com/gpu", "4"}}));
  EXPECT_EQ(container["resources"]["limits"], container["resources"]["requests"]);
  EXPECT_THAT(container["args"], Contains("--slots=4"));
  EXPECT_EQ(pod["nodeSelector"], json({{"pool", "h100"}, {"zone", "a"}}));
  EXPECT_EQ(pod["tolerations"][0]["operator"], "Exists");
  EXPECT_EQ(pod["priorityClassName"], "high");
  EXPECT_EQ(pod["serviceAccountName"], "trainer");
  EXPECT_EQ(pod["hostNetwork"], true);
  EXPECT_EQ(pod["dnsPolicy"], "Default");
  EXPECT_THAT(pod["volumes"].dump(), ::testing::HasSubstr("\"sizeLimit\":\"2Gi\""));
  EXPECT_THAT(container["volumeMounts"].dump(),
              ::testing::HasSubstr(R"("mountPath":"/data","name":"volume-0","readOnly":true)"));
}

TEST(KubernetesObjectsTest, APatchCannotHideThePodsFromTheCoordinator) {
  const auto job = JobObject(
      RequestFor(
          "kubernetes: {pod_patch: {metadata: {labels: {app.kubernetes.io/managed-by: x}}}}"),
      PlainSetup());
  EXPECT_EQ(job->at("spec")["template"]["metadata"]["labels"][kManagedByLabel], kManagedBy);
}

TEST(KubernetesObjectsTest, KueueStartsTheJobsOfItsQueues) {
  const AllocationRequest queued = RequestFor("kubernetes: {local_queue: gpus}");
  EXPECT_EQ((*JobObject(queued, PlainSetup()))["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
            "gpus");
  EXPECT_FALSE(CompletionPatch(*queued.spec).contains("spec"));
  EXPECT_EQ(CompletionPatch(*RequestFor("{}").spec)["spec"]["suspend"], false);
}

TEST(KubernetesObjectsTest, AJobSetHasTheJobThatWouldBeMadeWithoutIt) {
  const AllocationRequest request = RequestFor("kubernetes: {local_queue: gpus}");
  const json job = *JobObject(request, PlainSetup());
  json set = *JobSetObject(request, PlainSetup());
  EXPECT_EQ(set["apiVersion"], "jobset.x-k8s.io/v1alpha2");
  EXPECT_EQ(set["metadata"], job["metadata"]);
  EXPECT_EQ(set["spec"]["suspend"], true);
  EXPECT_EQ(set["spec"]["ttlSecondsAfterFinished"], job["spec"]["ttlSecondsAfterFinished"]);
  ASSERT_EQ(set["spec"]["replicatedJobs"].size(), 1u);
  const json& group = set["spec"]["replicatedJobs"][0];
  EXPECT_EQ(group["replicas"], 1);
  json child = group["template"]["spec"];
  EXPECT_FALSE(child.contains("suspend"));
  child["suspend"] = true;
  child["ttlSecondsAfterFinished"] = job["spec"]["ttlSecondsAfterFinished"];
  child["template"]["spec"]["subdomain"] = job["spec"]["template"]["spec"]["subdomain"];
  EXPECT_EQ(child, job["spec"]);
  set["metadata"]["uid"] = "u";
  const json secret = SecretObject(set, "secret");
  EXPECT_EQ(secret["metadata"]["ownerReferences"][0]["kind"], "JobSet");
  EXPECT_EQ(secret["metadata"]["name"], set["metadata"]["name"]);
}

TEST(KubernetesObjectsTest, NamesOfAJobSetAreWhatItsControllerTakes) {
  // What it refuses: a first digit, and names of pods, NAME-GROUP-JOB-INDEX-XXXXX, beyond 63.
  const std::string name = JobSetName("7" + std::string(70, 'a') + "-g1");
  EXPECT_EQ(name[0], 'j');
  EXPECT_LE((ChildJobName(name) + "-4095-abcde").size(), 63u);
  AllocationRequest request = RequestFor("{}");
  request.id.job = "7-digits-first";
  json set = *JobSetObject(request, PlainSetup());
  set["metadata"]["uid"] = "u";
  EXPECT_EQ(set["metadata"]["name"], "j7-digits-first-g2");
  EXPECT_THAT(set.dump(), ::testing::HasSubstr(
                              R"("secretKeyRef":{"key":"token","name":"j7-digits-first-g2"})"));
  EXPECT_EQ(SecretObject(set, "secret")["metadata"]["name"], "j7-digits-first-g2");
}

TEST(KubernetesObjectsTest, LongNamesAreCutAndStayDifferent) {
  const std::string head(70, 'a');
  EXPECT_EQ(ObjectName("demo-g1"), "demo-g1");
  EXPECT_LE(ObjectName(head + "-g1").size(), 47u);
  EXPECT_NE(ObjectName(head + "-g1"), ObjectName(head + "-g2"));
  AllocationRequest request = RequestFor("{}");
  request.id.job = "7-digits-first";
  json job = *JobObject(request, PlainSetup());
  job["metadata"]["uid"] = "u";
  EXPECT_EQ(ServiceObject(job)["metadata"]["name"], "j7-digits-first-g2");
  EXPECT_EQ(job["spec"]["template"]["spec"]["subdomain"], "j7-digits-first-g2");
}

}  // namespace
}  // namespace ijepa::coordinator
