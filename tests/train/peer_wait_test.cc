// Waiting for peers in an update that is shared out among ranks (ZeRO-1): it is no work of the rank
// that waits, and it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "run_fixture.h"
#include "tests/fakes/faulty_learner.h"
#include "tests/fakes/toy_learner.h"

namespace jepa {
namespace {

constexpr absl::Duration kWork = absl::Hours(1);

// Time that stands still but for rank 1's work, which it does not begin before rank 0 waits.
class WorkClock : public ijepa::Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + Monotonic(); }
  absl::Duration Monotonic() override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::this_thread::get_id() == about_to_wait_) {
      about_to_wait_ = {};
      waits_ = true;
      changed_.notify_all();
    }
    return now_;
  }
  // By rank 0, whose next look at the clock is the begin of its wait.
  void BeginWait() {
    std::lock_guard<std::mutex> lock(mutex_);
    about_to_wait_ = std::this_thread::get_id();
  }
  // By rank 1.
  absl::Status Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return waits_; })) {
      return absl::DeadlineExceededError("rank 0 waits, and looks at no clock");
    }
    waits_ = false;
    now_ += kWork;
    return absl::OkStatus();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread::id about_to_wait_;
  bool waits_ = false;
  absl::Duration now_;
};

// Gathers what its update made, after what the test does in each rank's update.
class SharingLearner : public FaultyLearner {
 public:
  using InUpdate = std::function<absl::Status(int rank)>;
  using Gathered = std::function<void(const absl::Status&)>;
  SharingLearner(const TrainConfig& config, InUpdate in_update, Gathered gathered)
      : FaultyLearner(std::make_unique<ToyLearner>(config, ToyFaults()), {}),
        rank_(config.rank),
        in_update_(std::move(in_update)),
        gathered_(std::move(gathered)) {}

  void ShareUpdate(UpdateSharing sharing) override { sharing_ = std::move(sharing); }
  absl::Status Update(const UpdateRates& rates) override {
    IJEPA_RETURN_IF_ERROR(FaultyLearner::Update(rates));
    IJEPA_RETURN_IF_ERROR(in_update_(rank_));
    std::vector<float> flat(static_cast<size_t>(gradient().count - kStepScalars));
    const absl::Status status = sharing_.gather(flat.data());
    if (gathered_) gathered_(status);
    return status;
  }

 private:
  const int rank_;
  const InUpdate in_update_;
  const Gathered gathered_;
  UpdateSharing sharing_;
};

class PeerWaitTest : public RunFixture {
 protected:
  TrainConfig SharedConfig() {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.optimization.zero1 = true;
    return config;
  }
  static TrainParts PartsWith(const SharingLearner::InUpdate& in_update,
                              const SharingLearner::Gathered& gathered = nullptr) {
    TrainParts parts = ToyParts();
    parts.make_learner =
        [in_update,
         gathered](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
      return std::make_unique<SharingLearner>(config, in_update, gathered);
    };
    return parts;
  }
};

TEST_F(PeerWaitTest, ARankThatWaitsInTheUpdateForASlowerOneHasNoWorkOfIt) {
  WorkClock clock;
  TrainParts parts = PartsWith([&](int rank) {
    if (rank == 1) return clock.Work();
    clock.BeginWait();
    return absl::OkStatus();
  });
  parts.clock = &clock;
  const GangResult result = RunGang(SharedConfig(), parts);
  for (const auto& outcome : result.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  const StepReport& waiting = result.hosts[0]->steps.back();
  const StepReport& working = result.hosts[1]->steps.back();
  const double work = absl::ToDoubleSeconds(kWork) * static_cast<double>(waiting.step);
  // Waiting for data, which is measured in real time, is taken off both.
  const double data = absl::ToDoubleSeconds(kWork) / 2;
  EXPECT_NEAR(waiting.peer_wait_seconds, work, data);
  EXPECT_NEAR(waiting.compute_seconds, 0, data);
  EXPECT_NEAR(working.peer_wait_seconds, 0, data);
  EXPECT_NEAR(working.compute_seconds, work, data);
}

TEST_F(PeerWaitTest, ARankWhosePeerDiesInTheUpdateIsAborted) {
  const GangResult result =
      RunGang(SharedConfig(), PartsWith([](int rank) {
                return rank == 1 ? absl::InternalError("died in the update") : absl::OkStatus();
              }));
  EXPECT_EQ(result.outcomes[0].status().code(), absl::StatusCode::kAborted)
      << result.outcomes[0].status();
  EXPECT_EQ(result.outcomes[1].status().code(), absl::StatusCode::kInternal);
}

TEST_F(PeerWaitTest, ARankWhosePeerStandsStillInTheUpdateGivesUpAtItsDeadline) {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  const auto stand_still = [&](int rank) -> absl::Status {
    if (rank == 0) return absl::OkStatus();
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return over; });
    return absl::InternalError("stood still");
  };
  TrainParts parts = PartsWith(stand_still, [&](const absl::Status&) {
    std::lock_guard<std::mutex> lock(mutex);
    over = true;
    changed.notify_all();
  });
  parts.peer_timeout = absl::Seconds(5);
  const GangResult result = RunGang(SharedConfig(), parts);
  EXPECT_EQ(result.outcomes[0].status().code(), absl::StatusCode::kDeadlineExceeded)
      << result.outcomes[0].status();
}

}  // namespace
}  // namespace jepa
