// From a launch to the plain struct of a rank.
#include "proto/spec/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::RankLaunch Launch(std::initializer_list<absl::string_view> settings = {}) {
  v1::RankLaunch launch;
  launch.set_job_uid("uid-1");
  launch.set_generation(3);
  launch.set_rank(1);
  launch.set_world_size(2);
  launch.set_slot(5);
  launch.set_checkpoint_folder("/checkpoints/uid-1");
  launch.set_initial_probe_done(true);
  launch.set_last_probe_step(40);
  launch.set_host_address("10.0.0.7");
  launch.add_resume()->set_path("/checkpoints/uid-1/50-2");
  launch.add_resume()->set_path("/checkpoints/uid-1/40-2");
  *launch.mutable_spec() = Resolved(settings);
  launch.mutable_spec()->set_shards(4);
  return launch;
}

TEST(TrainConfigTest, CarriesTheLaunch) {
  const auto config = TrainConfigFrom(Launch(), NodeFacts{});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->job_uid, "uid-1");
  EXPECT_EQ(config->generation, 3);
  EXPECT_EQ(config->rank, 1);
  EXPECT_EQ(config->world_size, 2);
  EXPECT_EQ(config->shards, 4);
  EXPECT_EQ(config->host_address, "10.0.0.7");
  EXPECT_EQ(config->checkpoint.folder, "/checkpoints/uid-1");
  EXPECT_THAT(config->checkpoint.resume,
              ElementsAre("/checkpoints/uid-1/50-2", "/checkpoints/uid-1/40-2"));
  EXPECT_TRUE(config->eval.skip_initial);
  EXPECT_EQ(config->eval.last_probe_step, 40);
  EXPECT_EQ(config->model.embed_dim, 192);
  EXPECT_EQ(config->model.pred_mlp_hidden, 4 * 384);
  EXPECT_EQ(config->model.grid_height, 14);
}

TEST(TrainConfigTest, ChoosesTheDevice) {
  const NodeFacts gpu{true, false};
  EXPECT_EQ(TrainConfigFrom(Launch(), NodeFacts{})->device, jepa::Device::kCpu);
  EXPECT_EQ(TrainConfigFrom(Launch(), gpu)->device, jepa::Device::kCuda);
  EXPECT_EQ(TrainConfigFrom(Launch(), gpu)->device_index, 5);
  EXPECT_EQ(TrainConfigFrom(Launch({"device=cpu"}), gpu)->device, jepa::Device::kCpu);
  const auto none = TrainConfigFrom(Launch({"device=cuda"}), NodeFacts{});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("device is cuda, but this node"));
}

TEST(TrainConfigTest, FallsBackToFp32WithAWarningWhereBf16IsMissing) {
  std::vector<std::string> warnings;
  const v1::RankLaunch launch = Launch({"meta.use_bfloat16=true"});
  EXPECT_EQ(TrainConfigFrom(launch, NodeFacts{}, &warnings)->precision, jepa::Precision::kFp32);
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("training in fp32"));
  warnings.clear();
  EXPECT_EQ(TrainConfigFrom(launch, NodeFacts{false, true}, &warnings)->precision,
            jepa::Precision::kBf16);
  EXPECT_EQ(TrainConfigFrom(launch, NodeFacts{true, false}, &warnings)->precision,
            jepa::Precision::kBf16);
  EXPECT_EQ(TrainConfigFrom(Launch(), NodeFacts{}, &warnings)->precision, jepa::Precision::kFp32);
  EXPECT_THAT(warnings, SizeIs(0));
}

TEST(TrainConfigTest, GivesOrRefusesThePrecisionThatIsAskedForInSoManyWords) {
  std::vector<std::string> warnings;
  const v1::RankLaunch half = Launch({"meta.precision=bf16"});
  const auto refused = TrainConfigFrom(half, NodeFacts{}, &warnings);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("meta.precision is bf16, but"));
  EXPECT_EQ(TrainConfigFrom(half, NodeFacts{false, true})->precision, jepa::Precision::kBf16);
  EXPECT_EQ(TrainConfigFrom(half, NodeFacts{true, false})->precision, jepa::Precision::kBf16);
  const v1::RankLaunch full = Launch({"meta.precision=fp32", "meta.use_bfloat16=true"});
  EXPECT_EQ(TrainConfigFrom(full, NodeFacts{true, true}, &warnings)->precision,
            jepa::Precision::kFp32);
  EXPECT_THAT(warnings, SizeIs(0));
}

TEST(TrainConfigTest, CarriesASquareAndARectangularCrop) {
  const auto square = TrainConfigFrom(Launch({"data.crop_size=96"}), {});
  EXPECT_EQ(square->data.crop_size.height, 96);
  EXPECT_EQ(square->data.crop_size.width, 96);
  const auto wide = TrainConfigFrom(Launch({"data.crop_size=[192, 320]"}), {});
  EXPECT_EQ(wide->data.crop_size.height, 192);
  EXPECT_EQ(wide->data.crop_size.width, 320);
  EXPECT_EQ(wide->model.grid_height, 12);
  EXPECT_EQ(wide->model.grid_width, 20);
  EXPECT_TRUE(TrainConfigFrom(Launch({"meta.activation_checkpointing=true"}), {})
                  ->activation_checkpointing);
}

TEST(TrainConfigTest, CarriesWhatPixelsAre) {
  const auto published = TrainConfigFrom(Launch(), {});
  EXPECT_EQ(published->model.channels, 3);
  EXPECT_EQ(published->data.bit_depth, 8);
  EXPECT_THAT(published->model.scale.mean, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_THAT(published->model.scale.std, ElementsAre(0.229, 0.224, 0.225));
  const auto grey = TrainConfigFrom(
      Launch({"data.channels=1", "data.bit_depth=16", "data.mean=[0.25]", "data.std=[0.5]"}), {});
  EXPECT_EQ(grey->data.channels, 1);
  EXPECT_EQ(grey->model.channels, 1);
  EXPECT_EQ(grey->data.bit_depth, 16);
  EXPECT_EQ(grey->model.scale.bit_depth, 16);
  EXPECT_THAT(grey->model.scale.mean, ElementsAre(0.25));
  EXPECT_THAT(grey->model.scale.std, ElementsAre(0.5));
}

TEST(TrainConfigTest, KeepsListsWhereTheJobSaysElseInTheWorkersFolder) {
  v1::RankLaunch launch = Launch();
  EXPECT_EQ(TrainConfigFrom(launch, {})->data.index_folder, "");
  launch.set_index_folder("/state/index");
  EXPECT_EQ(TrainConfigFrom(launch, {})->data.index_folder, "/state/index");
  launch.mutable_spec()->mutable_data()->set_index_folder("/shared/index");
  EXPECT_EQ(TrainConfigFrom(launch, {})->data.index_folder, "/shared/index");
}

TEST(TrainConfigTest, CarriesWhatIsSaidOfCuda) {
  EXPECT_EQ(TrainConfigFrom(Launch(), {})->cuda_graphs, jepa::CudaGraphs::kAuto);
  EXPECT_EQ(TrainConfigFrom(Launch({"meta.cuda_graphs=on"}), {})->cuda_graphs,
            jepa::CudaGraphs::kOn);
  EXPECT_EQ(TrainConfigFrom(Launch({"meta.cuda_graphs=off"}), {})->cuda_graphs,
            jepa::CudaGraphs::kOff);
  EXPECT_FALSE(TrainConfigFrom(Launch(), {})->deterministic);
  EXPECT_TRUE(TrainConfigFrom(Launch({"deterministic=true"}), {})->deterministic);
}

TEST(TrainConfigTest, RefusesALaunchThatContradictsItself) {
  v1::RankLaunch launch = Launch();
  launch.set_rank(2);
  EXPECT_THAT(std::string(TrainConfigFrom(launch, {}).status().message()),
              HasSubstr("launch has rank 2 of 2"));
  launch = Launch();
  launch.set_world_size(3);
  EXPECT_THAT(std::string(TrainConfigFrom(launch, {}).status().message()),
              HasSubstr("ranks must divide shards"));
  launch = Launch();
  launch.clear_checkpoint_folder();
  EXPECT_FALSE(TrainConfigFrom(launch, {}).ok());
  EXPECT_FALSE(TrainConfigFrom(v1::RankLaunch(), {}).ok());
}

TEST(TrainConfigTest, FindsThePublishedImageFolder) {
  const std::string root = ::testing::TempDir() + "ijepa_published";
  std::filesystem::remove_all(root);
  const auto found = [&](const std::string& set_root) {
    v1::RankLaunch launch = Launch({"data.path="});
    launch.mutable_spec()->mutable_data()->set_root_path(set_root);
    launch.mutable_spec()->mutable_data()->set_image_folder("in1k/full/");
    return TrainConfigFrom(launch, {})->data.path;
  };
  EXPECT_EQ(found(root), root + "/in1k/full/train");
  std::filesystem::create_directories(root + "/in1k");
  EXPECT_EQ(found(root), root + "/in1k");
  EXPECT_EQ(found(root + "/"), root + "/in1k");
  std::filesystem::create_directories(root + "/in1k/full/train");
  EXPECT_EQ(found(root), root + "/in1k/full/train");
  std::filesystem::remove_all(root + "/in1k");
  EXPECT_EQ(found(root + "/"), root);
  std::filesystem::remove_all(root);
}

TEST(TrainConfigTest, TakesCustomSizesFromTheSpec) {
  const auto model =
      ModelFrom(Resolved({"meta.model_name=vit_custom", "meta.embed_dim=64", "meta.depth=3",
                          "meta.num_heads=4", "meta.mlp_ratio=2.5", "meta.pred_emb_dim=32"}));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->embed_dim, 64);
  EXPECT_EQ(model->depth, 3);
  EXPECT_EQ(model->num_heads, 4);
  EXPECT_EQ(model->mlp_hidden, 160);
  EXPECT_EQ(model->pred_embed_dim, 32);
  EXPECT_FALSE(ModelFrom(Resolved({"meta.model_name=vit_unheard"})).ok());
}

}  // namespace
}  // namespace ijepa::spec
