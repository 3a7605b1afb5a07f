// YAML in and out: what every kind of value looks like, and that each refusal names place and rule.
#include "proto/spec/spec_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/spec/yaml_tree.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Refusal(absl::string_view text) {
  const auto spec = ReadJobSpec(text, "job.yaml");
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(spec.status().message());
}

TEST(SpecReaderTest, ReadsEveryKindOfValue) {
  const auto good = ReadJobSpec(
      "name: first-run\nranks: {min: 2, max: 4}\nmask: {mode: fixed, aspect_ratio: [0.75, 1.5], "
      "allow_overlap: True}\ninit: {seed: 18446744073709551615, mode: reference}\n"
      "optimization: {final_lr: 1.0e-06, epochs: 300}\ndata: {path: \"/a b/#1.tar\"}\n",
      "job.yaml");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->name(), "first-run");
  EXPECT_EQ(good->ranks().min(), 2);
  EXPECT_EQ(good->ranks().max(), 4);
  EXPECT_EQ(good->init().seed(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(good->init().mode(), v1::INIT_MODE_REFERENCE);
  EXPECT_EQ(good->mask().mode(), v1::MASK_MODE_FIXED);
  EXPECT_EQ(good->mask().aspect_ratio().low(), 0.75);
  EXPECT_TRUE(good->mask().allow_overlap());
  EXPECT_EQ(good->optimization().final_lr(), 1e-6);
  EXPECT_EQ(good->optimization().epochs(), 300);
  EXPECT_FALSE(good->optimization().has_lr());
  EXPECT_EQ(good->data().path(), "/a b/#1.tar");
}

TEST(SpecReaderTest, ReadsAndWritesAListOfFaults) {
  const auto spec = ReadJobSpec(
      "faults:\n  inject:\n  - {kind: kill, rank: 1, step: 20}\n  - kind: slow\n    step: 3\n"
      "    factor: 2.5\n",
      "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->faults().inject_size(), 2);
  EXPECT_EQ(spec->faults().inject(0).kind(), v1::FAULT_KIND_KILL);
  EXPECT_EQ(spec->faults().inject(1).factor(), 2.5);
  EXPECT_EQ(WriteJobSpec(*spec),
            "faults:\n  inject: [{kind: kill, rank: 1, step: 20}, {kind: slow, step: 3, factor: "
            "2.5}]\n");
  v1::JobSpec changed = *spec;
  ASSERT_TRUE(ApplySetting(&changed, "faults.inject=[{kind: eio, step: 7}]").ok());
  EXPECT_EQ(changed.faults().inject_size(), 1) << "a list takes the place of the one before";
  EXPECT_EQ(Refusal("faults: {inject: {kind: kill}}"),
            "job.yaml:1:18: faults.inject is a map; must be a list of {key: value, ...}");
  EXPECT_THAT(Refusal("faults: {inject: [{kind: kil}]}"), HasSubstr("nearest is kill"));
  EXPECT_THAT(Refusal("on_failure: {crash: stop}"),
              HasSubstr("on_failure.crash is stop; must be retry or fail"));
  EXPECT_THAT(Refusal("on_failure: {oom: fail}"), HasSubstr("on_failure.oom is not a key"));
  EXPECT_EQ(Refusal("faults: {inject: [{stpe: 4}]}"),
            "job.yaml:1:20: faults.inject[0].stpe is not a key; nearest is step");
}

TEST(SpecReaderTest, TakesOneNumberAsExactRanks) {
  const auto spec = ReadJobSpec("ranks: 16", "job.yaml");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->ranks().min(), 16);
  EXPECT_EQ(spec->ranks().max(), 16);
}

TEST(SpecReaderTest, TakesOneNumberAsASquareCrop) {
  const auto square = ReadJobSpec("data: {crop_size: 224}", "job.yaml");
  ASSERT_TRUE(square.ok()) << square.status();
  EXPECT_EQ(square->data().crop_size().height(), 224);
  EXPECT_EQ(square->data().crop_size().width(), 224);
  EXPECT_THAT(WriteJobSpec(*square), HasSubstr("crop_size: 224\n"));
  const auto wide = ReadJobSpec("data: {crop_size: [192, 320]}", "job.yaml");
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_EQ(wide->data().crop_size().height(), 192);
  EXPECT_EQ(wide->data().crop_size().width(), 320);
  EXPECT_THAT(WriteJobSpec(*wide), HasSubstr("crop_size: [192, 320]\n"));
  for (const char* bad : {"224.5", "[192]", "[192, 320, 3]", "{height: 192}", "[192, wide]", "x"}) {
    EXPECT_THAT(Refusal(absl::StrCat("data: {crop_size: ", bad, "}")),
                HasSubstr("must be a whole number of pixels, or a list [height, width]"))
        << bad;
  }
}

TEST(SpecReaderTest, TakesAListOfNumbersPerChannel) {
  const auto spec = ReadJobSpec("data: {mean: [0.5, 1e-3], std: [1]}", "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->data().mean().values(), ::testing::ElementsAre(0.5, 1e-3));
  EXPECT_THAT(spec->data().std().values(), ::testing::ElementsAre(1));
  for (const char* bad : {"[]", "0.5", "[0.5, x]", "[[0.5]]"}) {
    const auto refused = ReadJobSpec(absl::StrCat("data: {mean: ", bad, "}"), "job.yaml");
    EXPECT_THAT(std::string(refused.status().message()),
                ::testing::HasSubstr("must be a list of one number per channel"))
        << bad;
  }
}

TEST(SpecReaderTest, TakesNullAndAnEmptyFileAsAbsent) {
  const auto spec = ReadJobSpec("data: null\nmeta: {read_checkpoint: ~, pred_depth: }", "job.yaml");
  ASSERT_TRUE(spec.ok());
  EXPECT_FALSE(spec->has_data());
  EXPECT_FALSE(spec->meta().has_read_checkpoint());
  EXPECT_FALSE(spec->meta().has_pred_depth());
  EXPECT_TRUE(Same(*ReadJobSpec("", "job.yaml"), v1::JobSpec()));
  EXPECT_TRUE(Same(*ReadJobSpec("# nothing\n", "job.yaml"), v1::JobSpec()));
}

TEST(SpecReaderTest, NamesTheNearestKey) {
  EXPECT_EQ(Refusal("mask:\n  patch_sizee: 14\n"),
            "job.yaml:2:3: mask.patch_sizee is not a key; nearest is mask.patch_size");
  EXPECT_EQ(Refusal("optimisation: {}"),
            "job.yaml:1:1: optimisation is not a key; nearest is optimization");
  EXPECT_EQ(Refusal("data: {patch_size: 14}"),
            "job.yaml:1:8: data.patch_size is not a key; nearest is mask.patch_size");
  EXPECT_EQ(Refusal("batch_size: 14"),
            "job.yaml:1:1: batch_size is not a key; nearest is data.batch_size");
}

TEST(SpecReaderTest, NamesValueAndRuleOfAWrongType) {
  EXPECT_THAT(Refusal("data: {batch_size: 16.0}"),
              StartsWith("job.yaml:1:20: data.batch_size is 16.0; must be a whole number"));
  EXPECT_THAT(Refusal("data: {batch_size: \"16\"}"), HasSubstr("is the text \"16\"; must be"));
  EXPECT_THAT(Refusal("data: {batch_size: 99999999999}"), HasSubstr("to 2147483647"));
  EXPECT_THAT(Refusal("data: {batch_size: [16]}"), HasSubstr("is a list of 1; must be"));
  EXPECT_THAT(Refusal("init: {seed: -1}"), HasSubstr("init.seed is -1; must be a whole number"));
  EXPECT_THAT(Refusal("optimization: {lr: fast}"), HasSubstr("is fast; must be a number"));
  EXPECT_THAT(Refusal("optimization: {lr: .nan}"), HasSubstr("is .nan; must be a number"));
  EXPECT_THAT(Refusal("optimization: {lr: 1e999}"), HasSubstr("is 1e999; must be a number"));
  EXPECT_THAT(Refusal("data: {pin_mem: yes}"), HasSubstr("is yes; must be true or false"));
  EXPECT_THAT(Refusal("data: {path: [a]}"), HasSubstr("data.path is a list of 1; must be text"));
  EXPECT_THAT(Refusal("meta: {read_checkpoint: true}"), HasSubstr("is true; must be text"));
  EXPECT_THAT(Refusal("mask: {mode: fixd}"),
              HasSubstr("mask.mode is fixd; must be reference or fixed; nearest is fixed"));
  EXPECT_THAT(Refusal("mask: 3"), HasSubstr("mask is 3; must be a section"));
  EXPECT_THAT(Refusal("ranks: {min: 1}"), HasSubstr("ranks is a map; must be a whole number, or"));
  EXPECT_THAT(Refusal("ranks: 2.5"), HasSubstr("ranks is 2.5; must be a whole number, or"));
}

TEST(SpecReaderTest, RefusesARangeThatIsNotTwoNumbers) {
  const auto rule = HasSubstr("mask.aspect_ratio is ");
  EXPECT_THAT(Refusal("mask: {aspect_ratio: [1]}"), AllOf(rule, HasSubstr("two numbers")));
  EXPECT_THAT(Refusal("mask: {aspect_ratio: [1, 2, 3]}"), rule);
  EXPECT_THAT(Refusal("mask: {aspect_ratio: 1}"), rule);
  EXPECT_THAT(Refusal("mask: {aspect_ratio: [a, b]}"), rule);
  EXPECT_THAT(Refusal("mask: {aspect_ratio: {low: 1, high: 2}}"), rule);
}

TEST(SpecReaderTest, ReportsEveryProblemInOrder) {
  EXPECT_EQ(Refusal("nam: x\nmask:\n  patch_size: big\n"),
            "job.yaml:1:1: nam is not a key; nearest is name\n"
            "job.yaml:3:15: mask.patch_size is big; must be a whole number from -2147483648 to "
            "2147483647, without a point");
}

TEST(SpecReaderTest, KeepsAMessageOfHostileTextOneShortLine) {
  const std::string refusal = Refusal(absl::StrCat("\"a\\nb", std::string(500, 'x'), "\": 1"));
  EXPECT_THAT(refusal, StartsWith("job.yaml:1:1: a?bxxx"));
  EXPECT_LT(refusal.size(), 160u);
}

TEST(SpecReaderTest, RefusesADuplicateKey) {
  EXPECT_EQ(Refusal("mask:\n  min_keep: 1\n  min_keep: 2\n"),
            "job.yaml:3:3: min_keep is given twice; first in line 2; keep one");
}

TEST(SpecReaderTest, RefusesWhatIsNotOneYamlMap) {
  EXPECT_THAT(Refusal("- a\n- b\n"), HasSubstr("a job file is lines of `key: value`, not a list"));
  EXPECT_THAT(Refusal("name: a\n---\nname: b\n"), HasSubstr("more than one document"));
  EXPECT_THAT(Refusal("mask: {a: 1"), StartsWith("job.yaml:"));
  EXPECT_THAT(Refusal("name: !!str x"), HasSubstr("is not used here"));
  EXPECT_THAT(Refusal("name: a\xff"), StartsWith("job.yaml:1:8: byte 0xff is not text"));
  EXPECT_THAT(Refusal("[a, b]: 1"), HasSubstr("a key must be plain text"));
}

TEST(SpecReaderTest, ExpandsAliasesWithinBounds) {
  const auto spec =
      ReadJobSpec("mask:\n  enc_mask_scale: &s [0.5, 0.6]\n  pred_mask_scale: *s\n", "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->mask().pred_mask_scale().high(), 0.6);

  // Ten levels of ten aliases each would be ten thousand million values.
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::vector<std::string> ten(10, absl::StrCat("*a", i - 1));
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [", absl::StrJoin(ten, ", "), "]\n");
  }
  EXPECT_THAT(Refusal(bomb), HasSubstr("more than 10000 values"));
  const std::string long_text = absl::StrCat("a: &a \"", std::string(100'000, 'x'), "\"\n");
  EXPECT_THAT(Refusal(absl::StrCat(long_text, "b: [*a, *a, *a]\n")),
              HasSubstr("more than 256000 bytes, aliases expanded"));
  EXPECT_THAT(Refusal("mask: &m {patch_size: *m}"), StartsWith("job.yaml:1:"));
}

TEST(SpecReaderTest, BoundsSizeAndDepth) {
  EXPECT_THAT(Refusal(std::string(kMaxYamlBytes + 1, '#')), HasSubstr("must be at most 256000"));
  EXPECT_THAT(Refusal(absl::StrCat("name: ", std::string(5000, '['))),
              HasSubstr("nested deeper than 16"));
  EXPECT_THAT(Refusal(std::string(5000, '{')), HasSubstr("nested deeper than 16"));
}

TEST(SpecReaderTest, TellsWhereEachValueCameFrom) {
  SourceMap sources;
  auto spec = ReadJobSpec("name: a\nmask:\n  patch_size: 8\n  min_keep: 3\n", "job.yaml", &sources);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(sources["mask.patch_size"], "job.yaml:3:15");
  ASSERT_TRUE(ApplySetting(&*spec, "mask.patch_size=4", &sources).ok());
  EXPECT_EQ(sources["mask.patch_size"], "--set mask.patch_size=4");
  EXPECT_EQ(sources["mask.min_keep"], "job.yaml:4:13");
}

TEST(ApplySettingTest, SetsOneValueAndKeepsTheRest) {
  auto spec = *ReadJobSpec(kSmallestJob, "job.yaml");
  for (absl::string_view setting :
       {"optimization.lr=1e-3", "optimization.ema=[0.98, 1.0]", "mask.mode=fixed", "ranks=2",
        "data.path=/with=sign", "name="}) {
    EXPECT_TRUE(ApplySetting(&spec, setting).ok()) << setting;
  }
  EXPECT_EQ(spec.optimization().lr(), 1e-3);
  EXPECT_EQ(spec.optimization().epochs(), 2);
  EXPECT_EQ(spec.optimization().ema().low(), 0.98);
  EXPECT_EQ(spec.mask().mode(), v1::MASK_MODE_FIXED);
  EXPECT_EQ(spec.ranks().max(), 2);
  EXPECT_EQ(spec.data().path(), "/with=sign");
  EXPECT_FALSE(spec.has_name());
}

TEST(ApplySettingTest, LeavesTheSpecAloneWhenRefusing) {
  v1::JobSpec spec = *ReadJobSpec(kSmallestJob, "job.yaml");
  const v1::JobSpec before = spec;
  const auto refusal = [&](absl::string_view setting) {
    return std::string(ApplySetting(&spec, setting).message());
  };
  EXPECT_EQ(refusal("optimization.lrr=1"),
            "--set optimization.lrr=1: optimization.lrr is not a key; nearest is optimization.lr");
  EXPECT_THAT(refusal("optimization.lr=x"), HasSubstr("optimization.lr is x; must be a number"));
  EXPECT_THAT(refusal("optimization={lr: 1, warmup: x}"), HasSubstr("warmup is x"));
  EXPECT_THAT(refusal("optimization.lr"), HasSubstr("must be PATH=VALUE"));
  EXPECT_THAT(refusal("=1"), HasSubstr("must be PATH=VALUE"));
  EXPECT_THAT(refusal("a.b.c=1"), HasSubstr("is not a key"));
  EXPECT_THAT(refusal("optimization.lr.x=1"), HasSubstr("must be a number"));
  EXPECT_TRUE(Same(spec, before));
}

TEST(WriteJobSpecTest, ReadsBackEqual) {
  v1::JobSpec spec = Resolved({"ranks={min: 1, max: 3}", "optimization.lr=0.1",
                               "optimization.warmup=0.3333333333333333", "init.seed=7"});
  for (const char* text : {"",
                           "null",
                           "true",
                           "on",
                           "12",
                           "1e5",
                           "-",
                           "a: b",
                           "a #b",
                           "#x",
                           "~",
                           "a\"b\\c",
                           "\xc3\xa4\xe2\x82\xac",
                           " lead",
                           "tab\there",
                           "{x",
                           "[x",
                           "*x",
                           "&x",
                           "!x",
                           "%x",
                           "@x",
                           "`x",
                           "'x'",
                           "x,",
                           "two\nlines",
                           "=",
                           "<<"}) {
    spec.mutable_data()->set_path(text);
    const auto again = ReadJobSpec(WriteJobSpec(spec), "again.yaml");
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << WriteJobSpec(spec);
    EXPECT_TRUE(Same(*again, spec)) << WriteJobSpec(spec);
  }
}

TEST(WriteJobSpecTest, KeepsAbsentFieldsAbsent) {
  v1::JobSpec spec = *ReadJobSpec(kSmallestJob, "job.yaml");
  EXPECT_EQ(WriteJobSpec(spec),
            "name: small\ndata:\n  batch_size: 8\n  path: /data/images\nmeta:\n  model_name: "
            "vit_tiny\noptimization:\n  epochs: 2\n");
  EXPECT_EQ(WriteJobSpec(v1::JobSpec()), "{}\n");
  v1::JobSpec empty_section;
  empty_section.mutable_mask();
  EXPECT_TRUE(Same(*ReadJobSpec(WriteJobSpec(empty_section), "again.yaml"), empty_section));
}

TEST(NameFromFileTest, GivesAValidName) {
  EXPECT_EQ(NameFromFile("configs/published/in1k_vith16-448_ep300.yaml"), "in1k-vith16-448-ep300");
  EXPECT_EQ(NameFromFile("My Job__.yml"), "my-job");
  EXPECT_EQ(NameFromFile("___"), "job");
  EXPECT_EQ(NameFromFile(std::string(100, 'a')).size(), 63u);
}

}  // namespace
}  // namespace ijepa::spec
