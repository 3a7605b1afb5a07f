// Every rule of a job: one clear line with path, value, rule and next step.
#include "proto/spec/spec_validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// The one line that the settings earn.
std::string Refusal(std::initializer_list<absl::string_view> settings) {
  const absl::Status status = Validate(Resolved(settings));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(message, '\n')), SizeIs(1)) << message;
  return message;
}

TEST(SpecValidateTest, AcceptsTheSmallestJob) {
  EXPECT_TRUE(Validate(Resolved()).ok()) << Validate(Resolved());
}

TEST(SpecValidateTest, NamesRangesOfNumbers) {
  EXPECT_EQ(Refusal({"data.batch_size=-4"}), "data.batch_size is -4; it must be in [1, 65536]");
  EXPECT_EQ(Refusal({"mask.num_pred_masks=0"}), "mask.num_pred_masks is 0; it must be in [1, 16]");
  EXPECT_EQ(Refusal({"data.crop_scale=[0, 1]"}),
            "data.crop_scale is [0, 1]; both ends must be in (0, 1]");
  EXPECT_EQ(Refusal({"optimization.betas=[0.9, 1]"}),
            "optimization.betas is [0.9, 1]; both ends must be in [0, 1)");
  EXPECT_EQ(Refusal({"mask.aspect_ratio=[1.5, 0.75]"}),
            "mask.aspect_ratio is [1.5, 0.75]; the first must not exceed the second");
  EXPECT_EQ(Refusal({"optimization.epochs=0"}),
            "optimization.epochs is 0; it must be in (0, 1000000]");
}

TEST(SpecValidateTest, WantsOneRuleOfTimeForCheckpointsAndProbesForTheBest) {
  EXPECT_EQ(Refusal({"checkpoint.every_minutes=5", "checkpoint.auto_interval=true"}),
            "checkpoint.every_minutes is 5, and checkpoint.auto_interval is true; one of them says "
            "when to save, remove the other");
  EXPECT_EQ(Refusal({"checkpoint.keep_best=true"}),
            "checkpoint.keep_best is true without eval.path; name labelled images there, or set it "
            "to false");
  EXPECT_EQ(Resolved({"checkpoint.auto_interval=true"}).checkpoint().every_steps(), 0);
  EXPECT_EQ(Resolved({}).checkpoint().every_steps(), 1000);
}

TEST(SpecValidateTest, NamesTheNearestCropAndPatch) {
  EXPECT_EQ(Refusal({"mask.patch_size=15"}),
            "mask.patch_size is 15; it must divide data.crop_size, which is 224; nearest crop size "
            "is 225, nearest patch size 14");
  EXPECT_EQ(Refusal({"data.crop_size=[224, 100]"}),
            "mask.patch_size is 16; it must divide data.crop_size, which is [224, 100]; nearest "
            "crop size is [224, 96], nearest patch size 4");
  EXPECT_EQ(Refusal({"data.crop_size=[224, 4096]"}),
            "data.crop_size is [224, 4096]; both sides must be in [8, 2048]");
}

TEST(SpecValidateTest, NamesTheEntryOfAFaultAndItsRule) {
  const v1::JobSpec spec = Resolved({"ranks=2", "faults.inject=[{kind: kill, step: 4}]"});
  EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
  EXPECT_EQ(spec.faults().inject(0).attempt(), 1) << "a fault strikes once unless told otherwise";
  EXPECT_EQ(Refusal({"faults.inject=[{kind: kill, step: 1}, {kind: stop}]"}),
            "faults.inject entry 2: step is missing; it must be in [1, 1e9]");
  EXPECT_EQ(Refusal({"ranks=2", "faults.inject=[{kind: kill, step: 1, rank: 2}]"}),
            "faults.inject entry 1: rank is 2; it must be in [0, 2), by ranks");
  EXPECT_THAT(Refusal({"faults.inject=[{step: 1}]"}), HasSubstr("kind is missing"));
  EXPECT_THAT(Refusal({"ranks=2", "faults.inject=[{kind: torn_checkpoint, step: 1, rank: 1}]"}),
              HasSubstr("rank 0 only"));
  EXPECT_THAT(Refusal({"faults.inject=[{kind: slow, step: 1, factor: 0.5}]"}),
              HasSubstr("factor is 0.5; it must be in [1, 1000]"));
}

TEST(SpecValidateTest, AcceptsARectangularCrop) {
  for (const char* crop : {"data.crop_size=[192, 320]", "data.crop_size=[320, 192]"}) {
    for (const char* mode : {"mask.mode=fixed", "mask.mode=reference"}) {
      EXPECT_TRUE(Validate(Resolved({crop, mode})).ok()) << Validate(Resolved({crop, mode}));
    }
  }
}

TEST(SpecValidateTest, DemandsStatisticsOfEveryChannel) {
  EXPECT_EQ(Refusal({"data.mean=[0.5, 0.5]"}),
            "data.mean is [0.5, 0.5]; it has 2 numbers, and data.channels is 3");
  EXPECT_EQ(Refusal({"data.std=[0.5, 0, 0.5]"}),
            "data.std is [0.5, 0, 0.5]; each must be in (0, 1]");
  EXPECT_TRUE(Validate(Resolved({"data.mean=[0, 0.5, 1]", "data.std=[1, 1, 1]"})).ok());
}

TEST(SpecValidateTest, RefusesMinKeepThatNoBlockReaches) {
  EXPECT_THAT(Refusal({"data.crop_size=32", "mask.patch_size=4"}),
              StartsWith("mask.min_keep is 10, but a target block can have only"));
  EXPECT_THAT(Refusal({"mask.min_keep=1000"}), StartsWith("mask.min_keep is 1000"));
}

TEST(SpecValidateTest, RefusesBalancedMasksWhereMasksAreAsPublished) {
  EXPECT_THAT(Refusal({"mask.balance=true"}),
              StartsWith("mask.balance is true, but mask.mode is reference"));
  const absl::Status fixed = Validate(Resolved({"mask.balance=true", "mask.mode=fixed"}));
  EXPECT_TRUE(fixed.ok()) << fixed;
}

TEST(SpecValidateTest, RefusesAGridThatIsTooFine) {
  EXPECT_THAT(Refusal({"data.crop_size=2048", "mask.patch_size=1"}),
              StartsWith("mask.patch_size is 1"));
}

TEST(SpecValidateTest, DemandsWidthsThatFitTheHeads) {
  EXPECT_EQ(Refusal({"meta.model_name=vit_huge", "meta.pred_emb_dim=390"}),
            "meta.pred_emb_dim is 390; must be a multiple of 4 and of the 16 heads of vit_huge; "
            "nearest is 384");
  EXPECT_EQ(Refusal({"meta.model_name=vit_custom", "meta.embed_dim=66", "meta.depth=2",
                     "meta.num_heads=4"}),
            "meta.embed_dim is 66; must be a multiple of 4 and of meta.num_heads, which is 4; "
            "nearest is 68");
}

TEST(SpecValidateTest, KnowsTheModels) {
  EXPECT_THAT(Refusal({"meta.model_name=vit_hug"}),
              StartsWith("meta.model_name is \"vit_hug\"; must be one of vit_tiny"));
  EXPECT_THAT(Refusal({"meta.model_name=vit_hug"}), HasSubstr("nearest is vit_huge"));
  EXPECT_EQ(Refusal({"meta.embed_dim=64"}),
            "meta.embed_dim is set, but vit_tiny has its own; remove it, or set meta.model_name to "
            "vit_custom");
  EXPECT_THAT(Refusal({"meta.model_name=vit_custom", "meta.embed_dim=64", "meta.num_heads=4"}),
              StartsWith("meta.depth is missing and has no default; vit_custom needs"));
}

TEST(SpecValidateTest, DemandsRanksThatDivideShards) {
  EXPECT_EQ(Refusal({"ranks=3", "shards=16"}),
            "ranks is 3; it must divide shards, which is 16; nearest is 2");
  EXPECT_TRUE(Validate(Resolved({"ranks={min: 1, max: 3}", "shards=16"})).ok());
  EXPECT_EQ(Refusal({"ranks={min: 5, max: 7}", "shards=16"}),
            "ranks is {min: 5, max: 7}; one of these numbers must divide shards, which is 16; "
            "widen the range");
  EXPECT_THAT(Refusal({"ranks={min: 4, max: 2}"}), HasSubstr("first must not exceed the second"));
  EXPECT_EQ(Refusal({"ranks=0", "shards=1"}), "ranks is 0; both ends must be in [1, 4096]");
}

TEST(SpecValidateTest, DemandsWhatHasNoDefault) {
  EXPECT_THAT(Refusal({"name="}), StartsWith("name is missing and has no default; "));
  EXPECT_THAT(Refusal({"data.batch_size="}), StartsWith("data.batch_size is missing"));
  EXPECT_THAT(Refusal({"meta.model_name="}), StartsWith("meta.model_name is missing"));
  EXPECT_THAT(Refusal({"optimization.epochs="}), StartsWith("optimization.epochs is missing"));
  EXPECT_THAT(Refusal({"data.path="}), StartsWith("data.path is missing; name a folder"));
}

TEST(SpecValidateTest, TakesPublishedFoldersForData) {
  EXPECT_TRUE(
      Validate(Resolved({"data.path=", "data.root_path=/data", "data.image_folder=in1k/"})).ok());
  ValidateOptions a_look_at_the_file;
  a_look_at_the_file.need_data = false;
  EXPECT_TRUE(Validate(Resolved({"data.path="}), a_look_at_the_file).ok());
}

TEST(SpecValidateTest, RefusesRelativePaths) {
  EXPECT_THAT(Refusal({"data.path=images"}), StartsWith("data.path is \"images\"; must be an abs"));
  EXPECT_THAT(Refusal({"logging.folder=out"}), StartsWith("logging.folder is \"out\""));
}

TEST(SpecValidateTest, DemandsAStateToStartFromThatCanBeFound) {
  EXPECT_THAT(Refusal({"meta.load_checkpoint=true"}),
              StartsWith("meta.read_checkpoint is missing, and meta.load_checkpoint is true"));
  EXPECT_THAT(Refusal({"meta.read_checkpoint=/a.pth.tar"}),
              HasSubstr("meta.load_checkpoint is false; set that to true, or this to null"));
  EXPECT_THAT(Refusal({"meta.load_checkpoint=true", "meta.read_checkpoint=a.pth.tar"}),
              HasSubstr("must be an absolute path, or a name inside logging.folder"));
  const auto accepts = [](std::initializer_list<absl::string_view> settings) {
    return Validate(Resolved(settings)).ok();
  };
  EXPECT_TRUE(accepts({"meta.load_checkpoint=false", "meta.read_checkpoint=null"}));
  EXPECT_TRUE(accepts({"meta.load_checkpoint=true", "meta.read_checkpoint=/a.pth.tar"}));
  EXPECT_TRUE(accepts({"meta.load_checkpoint=true", "logging.folder=/logs"}));
  EXPECT_TRUE(accepts(
      {"meta.load_checkpoint=true", "meta.read_checkpoint=a.pth.tar", "logging.folder=/logs"}));
}

TEST(SpecValidateTest, ChecksNamesAndWords) {
  for (const char* name : {"Upper", "-a", "a-", "a_b", "a/b", "\"\""}) {
    EXPECT_THAT(Refusal({absl::StrCat("name=", name)}), StartsWith("name is ")) << name;
  }
  EXPECT_THAT(Refusal({absl::StrCat("name=", std::string(64, 'a'))}), StartsWith("name is "));
  EXPECT_EQ(Refusal({"device=gpu"}),
            "device is \"gpu\"; must be auto, cpu or cuda; nearest is cpu");
  EXPECT_THAT(Refusal({"logging.write_tag=a/b"}), StartsWith("logging.write_tag is \"a/b\""));
  EXPECT_THAT(Refusal({"data.path=\"/a\\nb\""}), StartsWith("data.path has 4 bytes; must be one"));
  EXPECT_THAT(Refusal({"optimization.warmup=3"}),
              StartsWith("optimization.warmup is 3 epochs; must be at most optimization.epochs"));
  EXPECT_THAT(Refusal({"eval.fit_path=/a"}), StartsWith("eval.fit_path is set without eval.path"));
}

TEST(SpecValidateTest, ReportsEveryViolationWithItsPlace) {
  SourceMap sources;
  auto spec = ReadJobSpec(
      "name: a\ndata:\n  batch_size: 0\n  path: /d\nmeta:\n  model_name: vit_tin\noptimization:\n  "
      "lr: 1\n",
      "job.yaml", &sources);
  ASSERT_TRUE(spec.ok()) << spec.status();
  ResolveDefaults(&*spec);
  ValidateOptions options;
  options.sources = &sources;
  const std::string message(Validate(*spec, options).message());
  const std::vector<std::string> lines = absl::StrSplit(message, '\n');
  ASSERT_THAT(lines, SizeIs(3)) << message;
  EXPECT_EQ(lines[0], "job.yaml:3:15: data.batch_size is 0; it must be in [1, 65536]");
  EXPECT_THAT(lines[1], StartsWith("job.yaml:8:3: optimization.epochs is missing"));
  EXPECT_THAT(lines[2], StartsWith("job.yaml:6:15: meta.model_name is \"vit_tin\""));
}

TEST(SpecValidateTest, SurvivesAnUnresolvedSpec) {
  EXPECT_FALSE(Validate(v1::JobSpec()).ok());
  v1::JobSpec odd = Resolved();
  odd.mutable_mask()->set_mode(static_cast<v1::MaskMode>(77));
  EXPECT_THAT(std::string(Validate(odd).message()), StartsWith("mask.mode is "));
}

}  // namespace
}  // namespace ijepa::spec
