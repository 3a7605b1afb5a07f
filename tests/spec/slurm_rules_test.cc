// What a job asks SLURM for, and what it may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::HasSubstr;

std::string WhyInvalid(absl::string_view setting) {
  return std::string(Validate(Resolved({setting})).message());
}

TEST(SlurmRulesTest, SlurmOptionsAreAMapThatReadsBack) {
  const v1::JobSpec spec = Resolved(
      {"ranks=4",
       "slurm={nodes: 2, gres: \"gpu:2\", options: {exclude: \"n[1-2]\", exclusive: \"\"}}"});
  ASSERT_EQ(spec.slurm().options_size(), 2);
  EXPECT_EQ(spec.slurm().options(0).value(), "n[1-2]");
  const auto again = ReadJobSpec(WriteJobSpec(spec), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->slurm().SerializeAsString(), spec.slurm().SerializeAsString());
}

TEST(SlurmRulesTest, WhatTheCoordinatorSetsItselfIsRefusedWithTheFieldToSetInstead) {
  EXPECT_THAT(WhyInvalid("slurm={options: {partition: main}}"), HasSubstr("set slurm.partition"));
  EXPECT_THAT(WhyInvalid("slurm={options: {job-name: x}}"), HasSubstr("remove it"));
  EXPECT_THAT(WhyInvalid("slurm={options: {\"-x\": y}}"), HasSubstr("a long name of sbatch"));
  EXPECT_THAT(WhyInvalid("slurm={time_limit: \"4\"}"), HasSubstr("slurm.time_limit is"));
  EXPECT_THAT(WhyInvalid("slurm={nodes: 3}"), HasSubstr("slurm.nodes is 3; ranks, which is 1"));
}

// sbatch finds long options by their beginnings, as getopt_long does.
TEST(SlurmRulesTest, OptionsOfTheCoordinatorAreRefusedHoweverTheyAreWritten) {
  for (const char* name :
       {"job-nam", "j", "wra", "arr", "expor", "export-file", "output", "outp", "error", "input",
        "open-mode", "get-user-env", "clusters", "help", "environment", "standard-output",
        "standard-error", "current-working-directory"}) {
    EXPECT_THAT(WhyInvalid(absl::StrCat("slurm={options: {", name, ": x}}")),
                HasSubstr("only the coordinator sets it"))
        << name;
  }
  EXPECT_EQ(WhyInvalid("slurm={options: {exclude: n1, nodelist: n2, mem-per-cpu: 1G, nice: 5}}"),
            "");
  EXPECT_THAT(WhyInvalid(absl::StrCat("slurm={options: {comment: ", std::string(4097, 'x'), "}}")),
              HasSubstr("comment with 4097 bytes"));
}

}  // namespace
}  // namespace ijepa::spec
