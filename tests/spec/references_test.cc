// What jobs say of each other, and of themselves so that they are found: labels, dependencies,
// sweeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/spec/matrix.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::HasSubstr;

std::string WhyInvalid(absl::string_view setting) {
  return std::string(Validate(Resolved({setting})).message());
}

TEST(ReferencesTest, LabelsAreAMapAndReadBackAsWritten) {
  const v1::JobSpec spec = Resolved({"labels={team: vision, run: 7, \"x/y\": \"\"}"});
  ASSERT_EQ(spec.labels_size(), 3);
  EXPECT_EQ(spec.labels(1).key(), "run");
  EXPECT_EQ(spec.labels(1).value(), "7");
  EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
  const auto again = ReadJobSpec(WriteJobSpec(spec), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(Same(*again, spec)) << WriteJobSpec(spec);
}

TEST(ReferencesTest, RefusesLabelsThatCannotBeLookedFor) {
  EXPECT_THAT(WhyInvalid("labels={\"a b\": c}"), HasSubstr("labels has the name \"a b\"; must be"));
  EXPECT_THAT(WhyInvalid("labels={a: \"b=c\"}"), HasSubstr("labels has a: \"b=c\"; must be"));
  EXPECT_THAT(WhyInvalid(absl::StrCat("labels={a: ", std::string(64, 'x'), "}")),
              HasSubstr("at most 63 characters"));
  v1::JobSpec twice = Resolved({"labels={a: b}"});
  *twice.add_labels() = twice.labels(0);
  EXPECT_THAT(std::string(Validate(twice).message()), HasSubstr("labels has a twice"));
  v1::JobSpec spec = Resolved();
  EXPECT_THAT(std::string(ApplySetting(&spec, "labels=[a]").message()),
              HasSubstr("must be names and values, such as {team: vision}"));
}

TEST(ReferencesTest, ADependencyCancelsUnlessItSaysOtherwise) {
  const v1::JobSpec spec =
      Resolved({"depends_on=[{job: pretrain-a1}, {job: other, on_failure: ignore}]"});
  EXPECT_EQ(spec.depends_on(0).on_failure(), v1::DEPENDENCY_FAILURE_CANCEL);
  EXPECT_EQ(spec.depends_on(1).on_failure(), v1::DEPENDENCY_FAILURE_IGNORE);
  EXPECT_TRUE(Validate(spec).ok());
  EXPECT_THAT(WhyInvalid("depends_on=[{on_failure: ignore}]"),
              HasSubstr("depends_on names the job \"\""));
  EXPECT_THAT(WhyInvalid("depends_on=[{job: a}, {job: a}]"), HasSubstr("names a twice"));
}

TEST(MatrixTest, GivesEveryCombinationTheLastAxisFastest) {
  const auto sweep = ReadSweep(absl::StrCat(kSmallestJob,
                                            "matrix:\n  optimization.lr: [1e-3, 5e-4]\n"
                                            "  data.crop_scale: [[0.2, 1], [0.5, 1]]\n"
                                            "  meta.model_name: [vit_tiny]\n"),
                               "sweep.yaml");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  const auto jobs = ExpandMatrix(sweep->spec, sweep->axes);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  ASSERT_EQ(jobs->size(), 4);
  EXPECT_EQ(jobs->at(0).spec.optimization().lr(), 1e-3);
  EXPECT_EQ(jobs->at(1).spec.optimization().lr(), 1e-3);
  EXPECT_EQ(jobs->at(1).spec.data().crop_scale().low(), 0.5);
  EXPECT_EQ(jobs->at(2).spec.optimization().lr(), 5e-4);
  EXPECT_EQ(jobs->at(2).settings[1].path(), "data.crop_scale");
  EXPECT_EQ(jobs->at(2).settings[1].value(), "[0.2, 1]");
}

TEST(MatrixTest, WithoutAnAxisItIsOneJob) {
  const auto jobs = ExpandMatrix(Resolved(), {});
  ASSERT_EQ(jobs->size(), 1);
  EXPECT_TRUE(Same(jobs->at(0).spec, Resolved()));
}

std::string WhyNoMatrix(const std::vector<MatrixAxis>& axes) {
  const auto jobs = ExpandMatrix(Resolved(), axes);
  EXPECT_EQ(jobs.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(jobs.status().message());
}

TEST(MatrixTest, SaysWhatIsWrongWithAnAxis) {
  EXPECT_THAT(WhyNoMatrix({{"lr", {"1"}}}), HasSubstr("matrix.lr is no path of a job"));
  EXPECT_THAT(WhyNoMatrix({{"name", {"a"}}}), HasSubstr("the same for all jobs"));
  EXPECT_THAT(WhyNoMatrix({{"optimization.lr", {}}}), HasSubstr("has 0 values"));
  EXPECT_THAT(WhyNoMatrix({{"optimization.lr", {"1", "1"}}}), HasSubstr("1 of them different"));
  EXPECT_THAT(WhyNoMatrix({{"optimization.lr", {"high"}}}), HasSubstr("optimization.lr is"));
  EXPECT_THAT(WhyNoMatrix({{"init.seed", {"1"}}, {"init.seed", {"2"}}}), HasSubstr("twice"));
  std::vector<std::string> values;
  for (int i = 0; i < 40; ++i) values.push_back(absl::StrCat(i));
  EXPECT_THAT(WhyNoMatrix({{"init.seed", values}, {"mask.min_keep", values}}),
              HasSubstr("more than 1000 combinations"));
}

TEST(MatrixTest, NamesTheLineOfAMatrixThatIsNone) {
  const auto sweep = ReadSweep("name: a\nmatrix:\n  init.seed: 3\n", "sweep.yaml");
  EXPECT_THAT(std::string(sweep.status().message()),
              HasSubstr("sweep.yaml:3:14: matrix.init.seed is 3; must be a path and its values"));
  EXPECT_THAT(std::string(ReadSweep("matrix: 3", "s.yaml").status().message()),
              HasSubstr("s.yaml:1:9: matrix is 3"));
}

}  // namespace
}  // namespace ijepa::spec
