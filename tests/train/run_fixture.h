// What the tests of the loop share: a small set of generated images, a config on it, and a gang of
// ranks as threads.
#ifndef IJEPA_TESTS_TRAIN_RUN_FIXTURE_H_
#define IJEPA_TESTS_TRAIN_RUN_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/memory_host.h"
#include "worker/jepa/config.h"
#include "worker/jepa/train_run.h"

namespace jepa {

// The end of every rank of a gang, and what their hosts were told.
struct GangResult {
  std::vector<absl::StatusOr<TrainOutcome>> outcomes;
  std::vector<std::unique_ptr<MemoryHost>> hosts;
  std::unique_ptr<MemoryRendezvous> rendezvous;
};

// A job that was killed again and again, and went on each time from its newest checkpoint.
struct KilledRun {
  int kills = 0;
  std::map<int64_t, double> losses;  // By step, as the last attempt that did it said.
  std::string checkpoint;            // The last one; empty if the job did not complete.
};

class RunFixture : public ::testing::Test {
 public:
  // A folder of this test, removed at its end.
  static std::string NewFolder();

 protected:
  // 48 scenes of 32 pixels with labels, made once per program.
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  // 3 epochs of 6 steps of global batch 8 in 2 shards; masks `fixed`; checkpoints at the end only.
  TrainConfig SmallConfig() const;
  // The loop on the toy learner, with a short wait for peers.
  static TrainParts ToyParts();

  // Runs config.world_size ranks as threads to their ends. `prepare` sets up each host.
  static GangResult RunGang(const TrainConfig& config, const TrainParts& parts,
                            const std::function<void(int, MemoryHost&)>& prepare = nullptr);
  // Runs the job to its end, through attempts in each of which one rank, drawn from `seed`, is gone
  // after a number of steps drawn from it too. Expects every step that is done again to give the
  // same loss.
  static KilledRun RunWithKills(TrainConfig config, const TrainParts& parts, uint64_t seed);
  // The final folders of the commits of rank 0, newest first.
  static std::vector<std::string> CommittedNewestFirst(const GangResult& result);
  static std::vector<int64_t> CommittedSteps(const MemoryHost& host);
  // All bytes of a checkpoint's tensors.
  static std::string TensorBytes(const std::string& checkpoint);

  std::string folder_;

  static std::string* images_folder_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_TRAIN_RUN_FIXTURE_H_
