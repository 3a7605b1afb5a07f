// Who waits for whom when collectives are left to a device, and how they end when a peer does not
// come: on a device that does nothing before the test lets it.
#include "worker/jepa/dist/stream_collectives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/stream_device.h"
#include "worker/jepa/gradient_exchange.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(10);

StreamOptions Options(ijepa::Clock& clock) {
  return {.who = "rank 0 of 2", .timeout = kTimeout, .clock = &clock, .doze = [] {
            std::this_thread::yield();
          }};
}

// A rank whose gradient is on the device. Its calls bear names: "sum 1", "gather 2", ....
class DevicePeers : public Communicator {
 public:
  DevicePeers(StreamDevice& device, ijepa::Clock& clock)
      : device_(device), collectives_(device, Options(clock)) {}

  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  absl::Status AllReduceSum(float*, int64_t) override { return Give("sum"); }
  absl::Status ReduceScatterSum(float*, int64_t, Precision) override { return Give("scatter"); }
  absl::Status AllGatherPieces(float*, int64_t, Precision) override { return Give("gather"); }
  absl::Status Broadcast(float*, int64_t, int) override { return Give("broadcast"); }
  absl::Status AllGather(const float*, int64_t, float*) override { return Give("all"); }
  absl::Status Pass(float*, int64_t, int, int) override { return Give("pass"); }
  absl::Status Barrier() override { return Give("barrier"); }
  void Abort(const absl::Status& why) override { collectives_.Abort(why); }
  absl::StatusOr<std::unique_ptr<DevicePoint>> MarkDevice() override { return collectives_.Mark(); }
  absl::Status StartAfter(const DevicePoint* point) override {
    collectives_.StartAfter(point);
    return absl::OkStatus();
  }
  absl::Status Join() override { return collectives_.Join(); }
  int64_t given() const override { return collectives_.given(); }
  absl::Status Settle(int64_t calls) override { return collectives_.Settle(calls); }

 private:
  absl::Status Give(const std::string& kind) {
    const std::string name = absl::StrCat(kind, " ", ++calls_);
    return collectives_.Give(name, [&] { return device_.Collective(name); });
  }

  StreamDevice& device_;
  StreamCollectives collectives_;
  int calls_ = 0;
};

class StreamCollectivesTest : public ::testing::Test {
 protected:
  static constexpr int64_t kCount = 1000;

  // A step as the loop does it; the backward pass and the update are the device's.
  void Step(GradientExchange& exchange, const std::string& step, bool shares) {
    exchange.Begin({gradient_.data(), kCount + kStepScalars});
    device_.Give(DeviceStream::kCaller, "front" + step);
    exchange.Ready(400);
    device_.Give(DeviceStream::kCaller, "back" + step);
    ASSERT_TRUE(exchange.Finish().ok());
    if (shares) {
      device_.Give(DeviceStream::kCaller, "norm" + step);
      ASSERT_TRUE(exchange.SumScalars().ok());
    }
    device_.Give(DeviceStream::kCaller, "update" + step);
    if (!shares) return;
    ASSERT_TRUE(exchange.Gather(gradient_.data()).ok());
    device_.Give(DeviceStream::kCaller, "target" + step);
  }

  // Gives one collective and has the watch see its begin.
  void GiveAndBegin(StreamCollectives& collectives) {
    ASSERT_TRUE(
        collectives.Give("all-reduce", [&] { return device_.Collective("all-reduce"); }).ok());
    device_.AwaitLooks(4);
  }

  static bool Before(const std::vector<std::string>& log, const std::string& a,
                     const std::string& b) {
    const auto first = std::find(log.begin(), log.end(), a);
    return first != log.end() && std::find(first, log.end(), b) != log.end();
  }

  const std::vector<FlatRange> buckets_ = {{0, 400}, {400, kCount}};
  std::vector<float> gradient_ = std::vector<float>(kCount + kStepScalars);
  StreamDevice device_;
  SteppedClock clock_;
};

struct StepKind {
  bool shares;
  Precision wire;
  bool overlap;
};

class WholeStepTest : public StreamCollectivesTest,
                      public ::testing::WithParamInterface<StepKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, WholeStepTest,
                         ::testing::Values(StepKind{false, Precision::kFp32, true},
                                           StepKind{false, Precision::kFp32, false},
                                           StepKind{false, Precision::kBf16, true},
                                           StepKind{true, Precision::kFp32, true},
                                           StepKind{true, Precision::kBf16, false}));

TEST_P(WholeStepTest, IsGivenByTheHostToADeviceThatHasDoneNothingYet) {
  const auto [shares, wire, overlap] = GetParam();
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {.wire = wire, .scatter = shares, .overlap = overlap});
  std::thread::id host;
  std::future<void> given = std::async(std::launch::async, [&, shares = shares] {
    host = std::this_thread::get_id();
    Step(exchange, " 1", shares);
    Step(exchange, " 2", shares);
  });
  const bool at_once = given.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  EXPECT_TRUE(at_once) << "the host waits for the device";
  EXPECT_THAT(device_.done(), IsEmpty());
  device_.AllowAll();
  given.get();
  EXPECT_TRUE(peers.Settle(peers.given()).ok());
  EXPECT_EQ(device_.done().back(), shares ? "target 2" : "update 2");
  EXPECT_EQ(device_.lookers().count(host), 0u);  // Nor did the host ask: the watch alone does.
}

TEST_F(StreamCollectivesTest, SumsBeginWhenTheirBucketIsFinalAndTheUpdateAfterAllOfThem) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {});
  Step(exchange, "", /*shares=*/false);
  device_.Allow("update");
  device_.Allow("sum 1");
  device_.Allow("sum 2");
  EXPECT_THAT(device_.done(), IsEmpty());  // Nothing is final.
  device_.Allow("front");
  EXPECT_THAT(device_.done(), ElementsAre("front", "sum 1"));  // Beside the backward pass.
  device_.Allow("back");
  EXPECT_THAT(device_.done(), ElementsAre("front", "sum 1", "back", "sum 2", "update"));
}

TEST_F(StreamCollectivesTest, UpdateWaitsForTheLastSum) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {});
  Step(exchange, "", /*shares=*/false);
  for (const char* work : {"front", "back", "sum 1", "update"}) device_.Allow(work);
  EXPECT_THAT(device_.done(), ElementsAre("front", "back", "sum 1"));
  device_.Allow("sum 2");
  EXPECT_EQ(device_.done().back(), "update");
}

TEST_F(StreamCollectivesTest, SharedUpdateGoesFromTheDevicesSumsToItsGather) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {.scatter = true});
  Step(exchange, "", /*shares=*/true);
  device_.AllowAll();
  ASSERT_TRUE(peers.Settle(peers.given()).ok());
  const std::vector<std::string> log = device_.done();
  const std::vector<std::string> order = {"back",   "scatter 2", "norm",     "sum 3",
                                          "update", "gather 4",  "gather 5", "target"};
  for (size_t i = 1; i < order.size(); ++i) {
    EXPECT_TRUE(Before(log, order[i - 1], order[i])) << order[i - 1] << ", " << order[i];
  }
}

TEST_F(StreamCollectivesTest, NextStepsSumWaitsForTheUpdateThatReadsTheBuffer) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {});
  Step(exchange, " 1", /*shares=*/false);
  Step(exchange, " 2", /*shares=*/false);
  for (const char* work : {"front 1", "back 1", "sum 1", "sum 2", "sum 3", "front 2"}) {
    device_.Allow(work);
  }
  EXPECT_EQ(device_.done().back(), "sum 2");
  device_.Allow("update 1");
  EXPECT_EQ(device_.done().back(), "sum 3");
}

TEST_F(StreamCollectivesTest, SettleWaitsForTheCallsItWasToldAndNoOthers) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {});
  Step(exchange, " 1", /*shares=*/false);
  const int64_t calls = peers.given();
  EXPECT_EQ(calls, 2);
  Step(exchange, " 2", /*shares=*/false);
  std::future<absl::Status> settled =
      std::async(std::launch::async, [&] { return peers.Settle(calls); });
  for (const char* work : {"front 1", "back 1", "sum 1"}) device_.Allow(work);
  device_.AwaitLooks(10);
  EXPECT_EQ(settled.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  device_.Allow("sum 2");
  EXPECT_TRUE(settled.get().ok());
}

TEST_F(StreamCollectivesTest, DeadlineNamesTheCallAndIsSetBeforeTheDeviceLetsGo) {
  StreamCollectives* watched = nullptr;
  absl::Status at_let_go;
  device_.on_let_go = [&] { at_let_go = watched->status(); };
  StreamCollectives collectives(device_, Options(clock_));
  watched = &collectives;
  GiveAndBegin(collectives);
  clock_.Advance(kTimeout + absl::Seconds(1));
  const absl::Status settled = collectives.Settle(1);
  EXPECT_EQ(settled.code(), absl::StatusCode::kDeadlineExceeded) << settled;
  EXPECT_THAT(std::string(settled.message()), HasSubstr("rank 0 of 2: no all-reduce within 10s"));
  // Every later call has the same answer, and gives the device nothing.
  bool enqueued = false;
  EXPECT_EQ(collectives.Give("later", [&] { return enqueued = true, absl::OkStatus(); }), settled);
  EXPECT_FALSE(enqueued);
  EXPECT_EQ(collectives.Join(), settled);
  device_.AwaitDone(2);
  EXPECT_EQ(at_let_go, settled);
  EXPECT_EQ(collectives.Settle(1), settled);  // The garbage has reached its end meanwhile.
  EXPECT_THAT(device_.done(), ElementsAre("let go", "bad all-reduce"));
}

// A long backward pass is no peer that hangs.
TEST_F(StreamCollectivesTest, DeadlineRunsFromWhereTheDeviceCanBegin) {
  StreamCollectives collectives(device_, Options(clock_));
  device_.Give(DeviceStream::kCaller, "long pass");
  ASSERT_TRUE(collectives.Give("sum", [&] { return device_.Collective("sum"); }).ok());
  device_.AwaitLooks(3);
  clock_.Advance(100 * kTimeout);
  device_.AwaitLooks(3);
  device_.Allow("long pass");
  device_.AwaitLooks(4);
  clock_.Advance(kTimeout / 2);
  device_.AwaitLooks(4);
  device_.Allow("sum");
  EXPECT_EQ(collectives.Settle(1), absl::OkStatus());
}

TEST_F(StreamCollectivesTest, EachCallHasADeadlineOfItsOwn) {
  StreamCollectives collectives(device_, Options(clock_));
  for (const char* name : {"first", "second"}) {
    ASSERT_TRUE(collectives.Give(name, [&] { return device_.Collective(name); }).ok());
  }
  device_.AwaitLooks(4);
  clock_.Advance(kTimeout * 0.8);
  device_.Allow("first");
  ASSERT_TRUE(collectives.Settle(1).ok());
  device_.AwaitLooks(4);
  clock_.Advance(kTimeout * 0.8);
  device_.AwaitLooks(4);
  device_.Allow("second");
  EXPECT_EQ(collectives.Settle(2), absl::OkStatus());
}

TEST_F(StreamCollectivesTest, AbortIsTheAnswerEvenWhereItsGarbageReachesTheEnd) {
  StreamCollectives collectives(device_, Options(clock_));
  GiveAndBegin(collectives);
  std::thread other([&] { collectives.Abort(absl::CancelledError("enough")); });
  EXPECT_EQ(collectives.Settle(1), absl::CancelledError("enough"));
  other.join();
  device_.AwaitDone(2);
  EXPECT_THAT(device_.done(), ElementsAre("let go", "bad all-reduce"));
  collectives.Abort(absl::InternalError("second"));
  EXPECT_EQ(collectives.Settle(1), absl::CancelledError("enough"));
  EXPECT_EQ(collectives.Settle(0), absl::CancelledError("enough"));
}

TEST_F(StreamCollectivesTest, ErrorOnTheWayCountsMoreThanAnEndThatWasReached) {
  StreamCollectives collectives(device_, Options(clock_));
  GiveAndBegin(collectives);
  device_.FailOnTheWay(absl::AbortedError("peer is gone"), "all-reduce");
  EXPECT_EQ(collectives.Settle(1), absl::AbortedError("peer is gone"));
}

TEST_F(StreamCollectivesTest, ErrorOfTheDeviceEndsTheWait) {
  StreamCollectives collectives(device_, Options(clock_));
  GiveAndBegin(collectives);
  device_.FailEvents(absl::InternalError("illegal address"));
  EXPECT_EQ(collectives.Settle(1), absl::InternalError("illegal address"));
}

TEST_F(StreamCollectivesTest, CallThatCannotBeEnqueuedBreaksTheCommunicator) {
  StreamCollectives collectives(device_, Options(clock_));
  const absl::Status refused = absl::InternalError("bad argument");
  EXPECT_EQ(collectives.Give("sum", [&] { return refused; }), refused);
  EXPECT_EQ(collectives.given(), 0);
  device_.AwaitDone(1);
  EXPECT_THAT(device_.done(), ElementsAre("let go"));
  EXPECT_EQ(collectives.Settle(0), refused);
}

// The first call of a shape connects peers, which may never come.
TEST_F(StreamCollectivesTest, HostsPartOfACallHasTheDeadlineToo) {
  SteppedClock clock(absl::Seconds(1));
  StreamCollectives collectives(device_, Options(clock));
  device_.SetHostIsDone(false);
  const absl::Status given = collectives.Give("reduce-scatter", [] { return absl::OkStatus(); });
  EXPECT_EQ(given.code(), absl::StatusCode::kDeadlineExceeded) << given;
  EXPECT_THAT(std::string(given.message()), HasSubstr("no reduce-scatter within 10s"));
}

// NCCL's abort has been seen to hang.
TEST_F(StreamCollectivesTest, NobodyWaitsForADeviceThatDoesNotLetGo) {
  std::promise<void> over;
  std::shared_future<void> is_over = over.get_future().share();
  device_.on_let_go = [&] { is_over.wait(); };
  StreamCollectives collectives(device_, Options(clock_));
  GiveAndBegin(collectives);
  collectives.Abort(absl::CancelledError("enough"));
  EXPECT_EQ(collectives.Settle(1), absl::CancelledError("enough"));
  EXPECT_EQ(collectives.Give("sum", [] { return absl::OkStatus(); }),
            absl::CancelledError("enough"));
  over.set_value();
}

TEST_F(StreamCollectivesTest, EndsWhileTheDeviceIsStillAtWork) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {});
  Step(exchange, "", /*shares=*/false);
}

TEST_F(StreamCollectivesTest, EventsAreUsedAgain) {
  DevicePeers peers(device_, clock_);
  GradientExchange exchange(peers, buckets_, {.overlap = false});
  device_.AllowAll();
  int after_two = 0;
  for (int step = 0; step < 20; ++step) {
    Step(exchange, "", /*shares=*/false);
    ASSERT_TRUE(peers.Settle(peers.given()).ok());
    if (step == 1) after_two = device_.events();
  }
  EXPECT_EQ(device_.events() - after_two, 18);  // One a step: the point of its buckets.
}

}  // namespace
}  // namespace jepa
