// What a job says to Kubernetes: read, written back, refused with the path and the rule.
#include "proto/spec/kubernetes_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::HasSubstr;

std::string MessageFor(const std::string& setting) {
  v1::JobSpec spec = *ReadJobSpec(kSmallestJob, "small.yaml");
  ResolveDefaults(&spec);
  const absl::Status applied = ApplySetting(&spec, setting);
  return std::string((applied.ok() ? Validate(spec) : applied).message());
}

TEST(KubernetesRulesTest, TakesAWholeSectionAndWritesItBack) {
  const std::string yaml = absl::StrCat(kSmallestJob, R"(
kubernetes:
  image: registry.example.org/ijepa/worker:1.2@sha256:0123
  ranks_per_pod: 4
  node_selector: {pool: h100, "topology.kubernetes.io/zone": a}
  tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
  volumes: [{claim: photos, mount_path: /data, read_only: true}]
  resources: {cpu: "48", memory: 400Gi, rdma/hca: "1"}
  pod_patch: {spec: {dnsPolicy: Default, hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]}}
)");
  const auto spec = ReadJobSpec(yaml, "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kubernetes().node_selector(1).key(), "topology.kubernetes.io/zone");
  EXPECT_EQ(
      *YamlMapAsJson(spec->kubernetes().pod_patch()),
      R"({"spec":{"dnsPolicy":"Default","hostAliases":[{"hostnames":["a"],"ip":"10.0.0.1"}]}})");
  const auto again = ReadJobSpec(WriteJobSpec(*spec), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(Same(*again, *spec)) << WriteJobSpec(*spec);
  v1::JobSpec resolved = *spec;
  ResolveDefaults(&resolved);
  EXPECT_TRUE(KubernetesViolations(resolved.kubernetes()).empty());
}

TEST(KubernetesRulesTest, NamesThePathAndTheRule) {
  EXPECT_THAT(MessageFor("kubernetes.volumes=[{mount_path: /data}]"),
              HasSubstr("kubernetes.volumes has an entry for /data without one of claim and"));
  EXPECT_THAT(MessageFor("kubernetes.volumes=[{claim: a, mount_path: data}]"),
              HasSubstr("must be absolute"));
  EXPECT_THAT(MessageFor("kubernetes.tolerations=[{value: a}]"), HasSubstr("that of a taint"));
  EXPECT_THAT(MessageFor("kubernetes.tolerations=[{key: a, effect: Never}]"),
              HasSubstr("has effect \"Never\"; must be NoSchedule"));
  EXPECT_THAT(MessageFor("kubernetes.resources={memory: lots}"), HasSubstr("quantities"));
  EXPECT_THAT(MessageFor("kubernetes.node_selector={pool: \"a b\"}"), HasSubstr("labels with"));
  EXPECT_THAT(MessageFor("kubernetes.shm_size=big"), HasSubstr("must be a quantity"));
  EXPECT_THAT(MessageFor("kubernetes.image=\"a b\""), HasSubstr("must be REGISTRY/NAME:TAG"));
  EXPECT_THAT(MessageFor("kubernetes.local_queue=Mine"), HasSubstr("the name of an object"));
  EXPECT_THAT(MessageFor("kubernetes.pod_patch=[1]"), HasSubstr("pod_patch"));
  EXPECT_THAT(MessageFor("kubernetes.pod_patch={metadata: x}"), HasSubstr("metadata is not"));
  EXPECT_THAT(MessageFor("kubernetes.pod_patch={metadata: {labels: x}}"), HasSubstr("labels is"));
  EXPECT_THAT(MessageFor("kubernetes.pod_patch={spec: null}"), HasSubstr("spec is not"));
}

TEST(KubernetesRulesTest, HoldsQuantitiesToTheFormOfTheApiServer) {
  for (const char* good : {"16Gi", "1.5G", "100m", "1"}) {
    EXPECT_EQ(MessageFor(absl::StrCat("kubernetes.shm_size=\"", good, "\"")), "") << good;
  }
  for (const char* bad : {".5", "1.", "Gi", "1.5.2", "1gi", "1Gi ", "-1"}) {
    EXPECT_THAT(MessageFor(absl::StrCat("kubernetes.shm_size=\"", bad, "\"")),
                HasSubstr("must be a quantity"))
        << bad;
  }
}

TEST(KubernetesRulesTest, HoldsNamesToTheFormOfTheApiServer) {
  const std::string longest(63, 'a');
  for (const std::string& good :
       {std::string("nvidia.com/gpu"), std::string("G_p-u.2"), absl::StrCat("a.b/", longest)}) {
    EXPECT_EQ(MessageFor(absl::StrCat("kubernetes.gpu_resource=", good)), "") << good;
  }
  for (const std::string& bad :
       {std::string("/gpu"), std::string("a/"), std::string("a/b/c"), std::string("-gpu"),
        std::string("gpu-"), std::string("A.b/gpu"), absl::StrCat(longest, "a")}) {
    EXPECT_THAT(MessageFor(absl::StrCat("kubernetes.gpu_resource=\"", bad, "\"")),
                HasSubstr("must be such as nvidia.com/gpu"))
        << bad;
  }
  EXPECT_THAT(MessageFor(absl::StrCat("kubernetes.service_account=", std::string(254, 'a'))),
              HasSubstr("the name of an object"));
}

TEST(KubernetesRulesTest, TypesOfYamlBecomeTypesOfJson) {
  EXPECT_EQ(*YamlMapAsJson("{a: 1, b: \"1\", c: true, d: 0.5, e: null, f: 10.0.0.1, g: []}"),
            R"({"a":1,"b":"1","c":true,"d":0.5,"e":null,"f":"10.0.0.1","g":[]})");
}

}  // namespace
}  // namespace ijepa::spec
