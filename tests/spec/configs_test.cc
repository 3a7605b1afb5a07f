// The shipped files: every job parses, resolves and validates, the published ones state the
// published facts, and the daemon files hold the documented keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/file.h"
#include "proto/spec/settings_reader.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "proto/spec/summary.h"

namespace ijepa::spec {
namespace {

// The file as submit sees it: named after the file, resolved.
v1::JobSpec Load(const std::string& path, int ranks) {
  auto spec = ReadJobSpec(*ReadFile(path), path);
  EXPECT_TRUE(spec.ok()) << spec.status();
  if (!spec->has_name()) spec->set_name(NameFromFile(path));
  if (ranks > 0) {
    spec->mutable_ranks()->set_min(ranks);
    spec->mutable_ranks()->set_max(ranks);
  }
  ResolveDefaults(&*spec);
  return *spec;
}

std::vector<std::string> Files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().string());
  }
  return files;
}

TEST(ConfigsTest, EveryJobIsValidOnceItHasData) {
  for (const char* folder : {"configs/jobs", "configs/published"}) {
    for (const std::string& file : Files(folder)) {
      v1::JobSpec spec = Load(file, 0);
      spec.mutable_data()->set_path("/data/images");
      EXPECT_TRUE(Validate(spec).ok()) << file << ": " << Validate(spec);
      EXPECT_TRUE(Summarise(spec, 20000).ok()) << file;
    }
  }
}

// Facts of a published run: ijepa-spec section 5.
struct Published {
  const char* file;
  const char* model;
  int patch, crop, batch, ranks;
  double epochs, warmup;
  int predictor_depth;
};

TEST(ConfigsTest, PublishedFilesStateThePublishedFacts) {
  const Published facts[] = {
      {"in1k_vith14_ep300", "vit_huge", 14, 224, 128, 16, 300, 40, 12},
      {"in1k_vith16-448_ep300", "vit_huge", 16, 448, 16, 128, 300, 40, 12},
      {"in22k_vith14_ep66", "vit_huge", 14, 224, 32, 64, 66, 3, 12},
      {"in22k_vitg16_ep44", "vit_giant", 16, 224, 16, 128, 44, 3, 16},
  };
  for (const Published& fact : facts) {
    SCOPED_TRACE(fact.file);
    const v1::JobSpec spec =
        Load(std::string("configs/published/") + fact.file + ".yaml", fact.ranks);
    EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
    EXPECT_EQ(spec.meta().model_name(), fact.model);
    EXPECT_EQ(spec.mask().patch_size(), fact.patch);
    EXPECT_EQ(spec.data().crop_size().height(), fact.crop);
    EXPECT_EQ(spec.data().crop_size().width(), fact.crop);
    EXPECT_EQ(spec.data().batch_size(), fact.batch);
    EXPECT_EQ(spec.optimization().epochs(), fact.epochs);
    EXPECT_EQ(spec.optimization().warmup(), fact.warmup);
    EXPECT_EQ(spec.meta().pred_depth(), fact.predictor_depth);
    EXPECT_EQ(spec.mask().mode(), v1::MASK_MODE_REFERENCE);
    EXPECT_TRUE(spec.meta().use_bfloat16());
    EXPECT_EQ(Summarise(spec, -1)->global_batch, 2048);
  }
}

TEST(ConfigsTest, TheFirstPublishedRunTakes187500Steps) {
  const v1::JobSpec spec = Load("configs/published/in1k_vith14_ep300.yaml", 16);
  const auto summary = Summarise(spec, 1281167);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->steps_per_epoch, 625);
  EXPECT_EQ(summary->total_steps, 187500);
}

TEST(ConfigsTest, SmallJobsRunAsManyImagesAsTheirFilesSay) {
  EXPECT_EQ(Summarise(Load("configs/jobs/cifar10_tiny.yaml", 0), 20000)->total_steps, 4680);
  EXPECT_EQ(Summarise(Load("configs/jobs/cifar10_small.yaml", 0), 20000)->total_steps, 6240);
  EXPECT_EQ(Summarise(Load("configs/jobs/demo.yaml", 0), 8000)->total_steps, 1875);
}

TEST(ConfigsTest, DaemonFilesHoldTheDocumentedKeys) {
  const auto coordinator =
      ReadSettingsWithTables(*ReadFile("configs/coordinator.yaml"), "coordinator.yaml",
                             {"listen",
                              "worker_listen",
                              "metrics_listen",
                              "data_dir",
                              "checkpoint_root",
                              "heartbeat_interval_seconds",
                              "unreachable_after_seconds",
                              "lost_after_seconds",
                              "step_deadline_seconds",
                              "allow_fault_injection",
                              "quarantine_after_faults",
                              "quarantine_seconds",
                              "reattach_window_seconds",
                              "fair_share_half_life_seconds",
                              "max_bypass",
                              "min_run_time_seconds",
                              "max_preemptions",
                              "keep_history_days",
                              "auth",
                              "tls_certificate",
                              "tls_key",
                              "tls_authority"},
                             {{"queues", {"weight"}}, {"priority_classes", {"value"}}});
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_EQ(coordinator->values.size(), 19u);
  EXPECT_EQ(coordinator->tables.at("priority_classes").size(), 3u);
  EXPECT_EQ(coordinator->values.at("listen"), "127.0.0.1:7440");
  const auto worker = ReadSettings(
      *ReadFile("configs/worker.yaml"), "worker.yaml",
      {"coordinator", "node", "slots", "state_dir", "rank_binary", "metrics_listen", "host_address",
       "drain_seconds", "leave_ranks", "labels", "tls_certificate", "tls_key", "tls_authority"});
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->at("coordinator"), coordinator->values.at("worker_listen"));
}

}  // namespace
}  // namespace ijepa::spec
