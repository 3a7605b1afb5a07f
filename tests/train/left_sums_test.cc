// The loop where sums are left to a device: a step's result is looked at when its sums are settled,
// and never where they failed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fakes/faulty_learner.h"
#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

// What rank 0 did, in order.
using Log = std::vector<std::string>;

// Gloo, which says of calls after StartAfter that they were left to the device, and of one of them
// at last that it failed there.
class LeavingPeers : public Communicator {
 public:
  LeavingPeers(std::unique_ptr<Communicator> peers, int64_t fails, Log& log)
      : peers_(std::move(peers)), fails_(fails), log_(log) {}

  int rank() const override { return peers_->rank(); }
  int world_size() const override { return peers_->world_size(); }
  absl::Status AllReduceSum(float* data, int64_t count) override {
    return peers_->AllReduceSum(data, count);
  }
  absl::Status ReduceScatterSum(float* data, int64_t count, Precision wire) override {
    return peers_->ReduceScatterSum(data, count, wire);
  }
  absl::Status AllGatherPieces(float* data, int64_t count, Precision wire) override {
    return peers_->AllGatherPieces(data, count, wire);
  }
  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return peers_->Broadcast(data, count, root);
  }
  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return peers_->AllGather(data, count, out);
  }
  absl::Status Pass(float* data, int64_t count, int from, int to) override {
    return peers_->Pass(data, count, from, to);
  }
  absl::Status Barrier() override { return peers_->Barrier(); }
  void Abort(const absl::Status& why) override { peers_->Abort(why); }

  absl::Status StartAfter(const DevicePoint*) override {
    ++given_;
    return absl::OkStatus();
  }
  absl::Status Join() override {
    if (rank() == 0) log_.push_back(absl::StrCat("join ", given_));
    return absl::OkStatus();
  }
  int64_t given() const override { return given_; }
  absl::Status Settle(int64_t calls) override {
    if (rank() == 0) log_.push_back(absl::StrCat("settle ", calls));
    if (fails_ > 0 && calls >= fails_) {
      peers_->Abort(absl::AbortedError("a sum failed on the device"));
      return absl::AbortedError("a sum failed on the device");
    }
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<Communicator> peers_;
  const int64_t fails_;  // The call; 0: none.
  Log& log_;
  int64_t given_ = 0;
};

// A late learner that says what rank 0 does with it, and how long its device took: an hour of work
// and a minute of waiting each step.
class DeviceLearner : public FaultyLearner {
 public:
  DeviceLearner(const TrainConfig& config, Log& log)
      : FaultyLearner(std::make_unique<ToyLearner>(config, Late()), {}),
        leads_(config.rank == 0),
        log_(log) {}

  absl::Status Update(const UpdateRates& rates) override {
    Say("update");
    return FaultyLearner::Update(rates);
  }
  absl::StatusOr<StepResult> TakeResult() override {
    Say("take");
    ++taken_;
    return FaultyLearner::TakeResult();
  }
  absl::Status WaitForDevice() override {
    Say("wait");
    return absl::OkStatus();
  }
  void EndSpan(StepSpan span) override {
    static const auto* names = new std::map<StepSpan, std::string>{{StepSpan::kBegin, "begin"},
                                                                   {StepSpan::kIdle, "idle"},
                                                                   {StepSpan::kWork, "work"},
                                                                   {StepSpan::kPeers, "peers"}};
    Say(names->at(span));
  }
  std::optional<StepSeconds> DeviceSeconds() const override {
    if (taken_ == 0) return std::nullopt;
    return StepSeconds{.work = 3600, .peers = 60};
  }

 private:
  static ToyFaults Late() {
    ToyFaults faults;
    faults.late_results = true;
    return faults;
  }
  void Say(const std::string& what) {
    if (leads_) log_.push_back(what);
  }

  const bool leads_;
  Log& log_;
  int taken_ = 0;
};

class LeftSumsTest : public RunFixture {
 protected:
  // `fails`: as of LeavingPeers.
  TrainParts Parts(int64_t fails = 0) {
    TrainParts parts = ToyParts();
    parts.make_learner =
        [this](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
      return std::make_unique<DeviceLearner>(config, log_);
    };
    parts.around_peers = [this, fails](std::unique_ptr<Communicator> peers) {
      return std::make_unique<LeavingPeers>(std::move(peers), fails, log_);
    };
    return parts;
  }
  TrainConfig TwoRanks() {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.optimization.bucket_mib = 0;  // One sum a step.
    return config;
  }
  Log Only(const std::vector<std::string>& kinds) const {
    Log found;
    for (const std::string& entry : log_) {
      for (const std::string& kind : kinds) {
        if (entry.compare(0, kind.size(), kind) == 0) found.push_back(entry);
      }
    }
    return found;
  }

  Log log_;  // Of rank 0's training thread.
};

TEST_F(LeftSumsTest, ResultOfAStepIsTakenWhenItsOwnSumsAreSettledAndTheNextStepIsGiven) {
  const GangResult result = RunGang(TwoRanks(), Parts());
  for (const auto& outcome : result.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  Log log = Only({"join", "update", "settle", "take", "wait"});
  log.resize(10);
  EXPECT_THAT(log, ElementsAre("join 1", "update", "join 2", "update", "settle 1", "take", "join 3",
                               "update", "settle 2", "take"));
  EXPECT_THAT(Only({"wait"}), IsEmpty());  // In no step of the run.
}

TEST_F(LeftSumsTest, FailedSumIsNeitherReportedNorSaved) {
  TrainConfig config = TwoRanks();
  config.checkpoint.every_steps = 4;
  const GangResult result = RunGang(config, Parts(/*fails=*/8));
  for (const auto& outcome : result.outcomes) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kAborted) << outcome.status();
  }
  for (const StepReport& report : result.hosts[0]->steps) EXPECT_LT(report.step, 8);
  EXPECT_EQ(result.hosts[0]->steps.size(), 7u);
  for (const int64_t step : CommittedSteps(*result.hosts[0])) EXPECT_LT(step, 8);
}

TEST_F(LeftSumsTest, StepsAreTimedByTheDevice) {
  TrainConfig config = TwoRanks();
  config.world_size = 1;
  const GangResult result = RunGang(config, Parts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  for (const StepReport& report : result.hosts[0]->steps) {
    EXPECT_EQ(report.compute_seconds, 3600.0 * static_cast<double>(report.step));
    EXPECT_EQ(report.peer_wait_seconds, 60.0 * static_cast<double>(report.step));
  }
  Log log = Only({"begin", "idle", "work", "peers", "update"});
  const Log step = {"begin", "idle", "work", "idle", "work", "work", "peers", "update"};
  log.resize(step.size());
  EXPECT_THAT(log, ElementsAreArray(step));  // Two shards.
}

// Else the fault would be as slow as the host is at giving work.
TEST_F(LeftSumsTest, InjectedSlownessMeasuresTheDevice) {
  TrainConfig config = TwoRanks();
  config.faults.inject = {{.kind = FaultKind::kSlow, .rank = 0, .step = 3, .steps = 2}};
  const GangResult result = RunGang(config, Parts());
  for (const auto& outcome : result.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(Only({"wait"}).size(), 2u);
}

}  // namespace
}  // namespace jepa
