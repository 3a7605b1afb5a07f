// What a job may say about its network.
#include "proto/spec/network_rules.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

v1::NetworkSpec With(const std::string& name, const std::string& value) {
  v1::NetworkSpec network;
  v1::Label* variable = network.add_env();
  variable->set_key(name);
  variable->set_value(value);
  return network;
}

TEST(NetworkRulesTest, TakesVariablesOfNcclAsAMap) {
  const v1::JobSpec spec = Resolved({"network={env: {NCCL_DEBUG: INFO, NCCL_IB_TC: 106}}"});
  EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
  ASSERT_EQ(spec.network().env_size(), 2);
  EXPECT_EQ(spec.network().env(1).key(), "NCCL_IB_TC");
  EXPECT_EQ(spec.network().env(1).value(), "106");
  EXPECT_TRUE(spec.network().check());
}

TEST(NetworkRulesTest, RefusesVariablesThatAreNotOfNccl) {
  for (const char* name : {"LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "NCCL_", "nccl_debug", "NCCL_A=B",
                           "XNCCL_DEBUG", "NCCL_DEBUG "}) {
    const std::string problem = NetworkEnvProblem(With(name, "1"));
    EXPECT_TRUE(absl::StrContains(problem, absl::StrCat("the name \"", name, "\"; must be NCCL_")))
        << name << ": " << problem;
  }
  v1::JobSpec spec = Resolved();
  *spec.mutable_network() = With("LD_PRELOAD", "/tmp/x.so");
  EXPECT_TRUE(absl::StrContains(Validate(spec).message(), "network.env has the name")) << "wired";
}

TEST(NetworkRulesTest, RefusesVariablesThatNameFilesOrLibraries) {
  for (const char* name : {"NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN", "NCCL_PROFILER_PLUGIN",
                           "NCCL_TOPO_FILE", "NCCL_DEBUG_FILE", "NCCL_TOPO_DUMP_FILE"}) {
    EXPECT_TRUE(absl::StrContains(NetworkEnvProblem(With(name, "/tmp/x")), "only who runs"))
        << name;
  }
  EXPECT_EQ(NetworkEnvProblem(With("NCCL_NET", "IB")), "");
}

TEST(NetworkRulesTest, RefusesValuesThatAreLongOrOfSeveralLinesAndNamesGivenTwice) {
  EXPECT_EQ(NetworkEnvProblem(With("NCCL_ALGO", std::string(256, 'x'))), "");
  EXPECT_TRUE(absl::StrContains(NetworkEnvProblem(With("NCCL_ALGO", std::string(257, 'x'))),
                                "NCCL_ALGO with 257 bytes"));
  EXPECT_NE(NetworkEnvProblem(With("NCCL_ALGO", "a\nb")), "");
  v1::NetworkSpec twice = With("NCCL_ALGO", "Ring");
  *twice.add_env() = twice.env(0);
  EXPECT_EQ(NetworkEnvProblem(twice), "has NCCL_ALGO twice; each name once");
  v1::NetworkSpec many;
  for (int i = 0; i < 65; ++i) many.add_env()->set_key(absl::StrCat("NCCL_", i));
  EXPECT_EQ(NetworkEnvProblem(many), "has 65 entries; must have at most 64");
}

}  // namespace
}  // namespace ijepa::spec
