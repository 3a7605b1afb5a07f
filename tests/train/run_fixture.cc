// Shared set-up of the loop's tests.
#include "tests/train/run_fixture.h"

#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include "common/check.h"
#include "common/file.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/toy_learner.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/data/scene_generator.h"
#include "worker/jepa/plan/random.h"

namespace jepa {

std::string* RunFixture::images_folder_ = nullptr;

std::string RunFixture::NewFolder() { return ijepa::MakeTemporaryFolder(); }

void RunFixture::SetUpTestSuite() {
  images_folder_ = new std::string(NewFolder());
  const absl::Status written = WriteSceneSet(*images_folder_, /*seed=*/1, /*count=*/48, 32);
  ASSERT_TRUE(written.ok()) << written;
}

void RunFixture::TearDownTestSuite() {
  EXPECT_TRUE(ijepa::RemoveTree(*images_folder_).ok());
  delete images_folder_;
  images_folder_ = nullptr;
}

void RunFixture::SetUp() { folder_ = NewFolder(); }

void RunFixture::TearDown() { EXPECT_TRUE(ijepa::RemoveTree(folder_).ok()); }

TrainConfig RunFixture::SmallConfig() const {
  TrainConfig config;
  config.data.batch_size = 4;
  config.data.crop_size = {32, 32};
  config.data.path = *images_folder_;
  config.mask.patch_size = 4;
  config.mask.min_keep = 2;
  config.mask.mode = MaskMode::kFixed;
  config.model.grid_height = 8;
  config.model.grid_width = 8;
  config.model.patch_size = 4;
  config.model.embed_dim = 16;
  config.model.depth = 1;
  config.model.num_heads = 2;
  config.model.mlp_hidden = 32;
  config.model.pred_depth = 1;
  config.model.pred_embed_dim = 16;
  config.model.pred_mlp_hidden = 32;
  config.optimization.epochs = 3;
  config.optimization.start_lr = 1e-3;
  config.optimization.lr = 2e-2;
  config.optimization.final_lr = 1e-3;
  config.optimization.warmup = 0.5;
  config.checkpoint.every_steps = 0;
  config.checkpoint.folder = folder_;
  config.job_uid = "job-a";
  config.seed = 3;
  config.shards = 2;
  return config;
}

TrainParts RunFixture::ToyParts() {
  TrainParts parts;
  parts.make_learner = [](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
    return std::make_unique<ToyLearner>(config, ToyFaults());
  };
  parts.peer_timeout = absl::Seconds(30);
  return parts;
}

GangResult RunFixture::RunGang(const TrainConfig& config, const TrainParts& parts,
                               const std::function<void(int, MemoryHost&)>& prepare) {
  signal(SIGPIPE, SIG_IGN);  // As a rank's main does.
  GangResult result;
  result.rendezvous = std::make_unique<MemoryRendezvous>();
  std::vector<TrainConfig> configs(static_cast<size_t>(config.world_size), config);
  for (int rank = 0; rank < config.world_size; ++rank) {
    configs[static_cast<size_t>(rank)].rank = rank;
    result.outcomes.emplace_back(absl::UnknownError("not run"));
    result.hosts.push_back(std::make_unique<MemoryHost>(*result.rendezvous));
    if (prepare) prepare(rank, *result.hosts.back());
  }
  std::vector<std::thread> ranks;
  for (size_t rank = 0; rank < configs.size(); ++rank) {
    ranks.emplace_back([&, rank] {
      result.outcomes[rank] = RunTraining(configs[rank], *result.hosts[rank], parts);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return result;
}

KilledRun RunFixture::RunWithKills(TrainConfig config, const TrainParts& parts, uint64_t seed) {
  constexpr int kMaxAttempts = 200;  // Far more than it takes to get through by luck.
  Philox random(seed, Purpose::kScene, 0, 0);
  KilledRun run;
  for (config.generation = 1; config.generation <= kMaxAttempts; ++config.generation) {
    const int victim = static_cast<int>(random.Below(static_cast<uint32_t>(config.world_size)));
    const int lives = 1 + static_cast<int>(random.Below(12));
    const GangResult attempt = RunGang(config, parts, [&](int rank, MemoryHost& host) {
      if (rank != victim) return;
      host.alive = [lives, steps = 0]() mutable {
        return steps++ < lives ? absl::OkStatus() : absl::AbortedError("killed");
      };
    });
    for (const StepReport& report : attempt.hosts[0]->steps) {
      const auto [first, added] = run.losses.emplace(report.step, report.loss);
      EXPECT_TRUE(added || first->second == report.loss)
          << "seed " << seed << ", step " << report.step << ", attempt " << config.generation;
    }
    for (const CheckpointInfo& commit : attempt.hosts[0]->commits) {
      config.checkpoint.resume.insert(config.checkpoint.resume.begin(), commit.path);
    }
    if (attempt.outcomes[0].ok()) {
      run.checkpoint = config.checkpoint.resume.at(0);
      return run;
    }
    ++run.kills;
  }
  ADD_FAILURE() << "seed " << seed << ": not done after " << kMaxAttempts << " attempts";
  return run;
}

std::vector<std::string> RunFixture::CommittedNewestFirst(const GangResult& result) {
  std::vector<std::string> paths;
  for (const CheckpointInfo& commit : result.hosts[0]->commits) {
    paths.insert(paths.begin(), commit.path);
  }
  return paths;
}

std::vector<int64_t> RunFixture::CommittedSteps(const MemoryHost& host) {
  std::vector<int64_t> steps;
  for (const CheckpointInfo& commit : host.commits) steps.push_back(commit.step);
  return steps;
}

std::string RunFixture::TensorBytes(const std::string& checkpoint) {
  const absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(checkpoint);
  EXPECT_TRUE(reader.ok()) << reader.status();
  if (!reader.ok()) return "";
  std::string bytes;
  for (const TensorEntry& tensor : reader->tensors()) {
    std::string values(static_cast<size_t>(tensor.bytes), '\0');
    const absl::Status read = reader->Read(tensor.name, tensor.type, tensor.shape, values.data());
    EXPECT_TRUE(read.ok()) << read;
    bytes += tensor.name + "=" + values;
  }
  return bytes;
}

}  // namespace jepa
