// The driver against a backend of a few lines that does what it is told, with its thread.
#include "coordinator/backends/backend_driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace ijepa::coordinator {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

// What a cluster knows; shared with the test.
struct Cluster {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ObservedAllocation> listed;
  int asked = 0;
  int looks = 0;
  std::vector<std::string> killed;
  // Of the next Allocate: it happens, but its answer is lost.
  bool lose_answer = false;
  absl::Status refuse;
  absl::Status unreachable;
  // Most requests between two looks.
  int asked_since_look = 0;
  int most_asked = 0;
  int looks_at_nodes = 0;
  absl::Status nodes_refused;
};

class ToyBackend : public Backend {
 public:
  explicit ToyBackend(Cluster& cluster) : cluster_(cluster) {}
  const std::string& name() const override { return name_; }
  BackendCapabilities capabilities() const override { return {}; }
  absl::Status Validate(const v1::JobSpec&) const override { return absl::OkStatus(); }

  absl::StatusOr<std::string> Allocate(const AllocationRequest& request, absl::Duration) override {
    std::lock_guard lock(cluster_.mutex);
    ++cluster_.asked;
    cluster_.most_asked = std::max(cluster_.most_asked, ++cluster_.asked_since_look);
    cluster_.changed.notify_all();
    if (!cluster_.refuse.ok()) return cluster_.refuse;
    if (!cluster_.unreachable.ok()) return cluster_.unreachable;
    ObservedAllocation one;
    one.name = request.id.Name();
    one.handle = absl::StrCat(cluster_.asked);
    one.state = "PENDING";
    cluster_.listed.push_back(one);
    if (std::exchange(cluster_.lose_answer, false)) return absl::DeadlineExceededError("late");
    return one.handle;
  }

  absl::Status Kill(const ObservedAllocation& allocation, absl::Duration) override {
    std::lock_guard lock(cluster_.mutex);
    cluster_.killed.push_back(allocation.name);
    for (ObservedAllocation& one : cluster_.listed) {
      if (one.name != allocation.name) continue;
      one.phase = ObservedPhase::kEnded;
      one.end = AllocationEnd::kCancelled;
    }
    cluster_.changed.notify_all();
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<ObservedAllocation>> Reconcile(absl::Duration) override {
    std::lock_guard lock(cluster_.mutex);
    ++cluster_.looks;
    cluster_.asked_since_look = 0;
    cluster_.changed.notify_all();
    if (!cluster_.unreachable.ok()) return cluster_.unreachable;
    return cluster_.listed;
  }

  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration) override {
    std::lock_guard lock(cluster_.mutex);
    ++cluster_.looks_at_nodes;
    cluster_.changed.notify_all();
    if (!cluster_.nodes_refused.ok()) return cluster_.nodes_refused;
    return std::vector<BackendNode>{{"n1", "idle", "", true}};
  }

 private:
  const std::string name_ = "toy";
  Cluster& cluster_;
};

class BackendDriverTest : public ::testing::Test {
 protected:
  BackendDriverTest() {
    BackendDriver::Options options;
    options.poll = options.busy_poll = absl::Milliseconds(5);
    options.release_grace = absl::Milliseconds(30);
    options.absent_after = absl::Milliseconds(30);
    options.nodes_poll = absl::Milliseconds(5);
    driver = std::make_unique<BackendDriver>(std::make_unique<ToyBackend>(cluster), options,
                                             Clock::Real());
  }
  ~BackendDriverTest() override { driver->Stop(); }

  void Start() {
    driver->Start([this](const Command& command) {
      std::lock_guard lock(cluster.mutex);
      said.push_back(command);
      cluster.changed.notify_all();
    });
  }

  static WantedAllocation Wish(int64_t generation, const std::string& handle = "",
                               bool released = false) {
    WantedAllocation wanted;
    wanted.request.id = {"job", "uid", generation};
    wanted.request.spec = std::make_shared<const v1::JobSpec>();
    wanted.handle = handle;
    wanted.released = released;
    return wanted;
  }

  template <typename Condition>
  bool Eventually(const Condition& condition) {
    std::unique_lock lock(cluster.mutex);
    return cluster.changed.wait_for(lock, absl::ToChronoMilliseconds(kPatience), condition);
  }

  // The newest command of this kind; null if none. With the lock held.
  template <typename Kind>
  const Kind* Said() {
    const Kind* found = nullptr;
    for (const Command& command : said) {
      if (const auto* one = std::get_if<Kind>(&command)) found = one;
    }
    return found;
  }

  // Changes what the cluster lists of the first allocation.
  template <typename Change>
  void Set(const Change& change) {
    std::lock_guard lock(cluster.mutex);
    change(cluster.listed.at(0));
  }

  Cluster cluster;
  std::vector<Command> said;
  std::unique_ptr<BackendDriver> driver;
};

TEST_F(BackendDriverTest, WhatIsWantedIsAskedForOnceAndFollowedToItsEnd) {
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] { return Said<AllocationWaits>() != nullptr; }));
  ASSERT_TRUE(Eventually([&] { return cluster.looks > 3; }));
  Set([](ObservedAllocation& one) {
    one.phase = ObservedPhase::kRunning;
    one.state = "RUNNING";
  });
  ASSERT_TRUE(Eventually([&] { return Said<AllocationGranted>() != nullptr; }));
  Set([](ObservedAllocation& one) {
    one.phase = ObservedPhase::kEnded;
    one.end = AllocationEnd::kPreempted;
    one.state = "PREEMPTED";
  });
  ASSERT_TRUE(Eventually([&] { return Said<AllocationEnded>() != nullptr; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(Said<AllocationEnded>()->end, AllocationEnd::kPreempted);
  EXPECT_EQ(cluster.asked, 1);
  EXPECT_TRUE(cluster.killed.empty());
}

TEST_F(BackendDriverTest, ALostAnswerIsFoundAgainByName) {
  cluster.lose_answer = true;
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] {
    const auto* waits = Said<AllocationWaits>();
    return waits != nullptr && waits->handle == "1";
  }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(cluster.asked, 1);
}

TEST_F(BackendDriverTest, AfterARestartItLooksBeforeItAsks) {
  ObservedAllocation one;
  one.name = "job-g1";
  one.handle = "77";
  cluster.listed.push_back(one);
  driver->Reset({{"uid", Wish(1)}, {"other", [] {
                                      WantedAllocation wanted = Wish(1);
                                      wanted.request.id = {"new", "other", 1};
                                      return wanted;
                                    }()}});
  Start();
  ASSERT_TRUE(Eventually([&] { return cluster.asked == 1; }));
  ASSERT_TRUE(Eventually([&] { return cluster.looks > 5; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(cluster.asked, 1) << "only the one that is not there";
}

TEST_F(BackendDriverTest, WhatNobodyWantsIsKilled) {
  ObservedAllocation one;
  one.name = "forgotten-g3";
  one.phase = ObservedPhase::kRunning;
  cluster.listed.push_back(one);
  Start();
  ASSERT_TRUE(Eventually([&] { return !cluster.killed.empty(); }));
  EXPECT_EQ(cluster.killed[0], "forgotten-g3");
}

TEST_F(BackendDriverTest, AReleasedAllocationThatDoesNotEndIsKilledAndThatIsNobodysCancel) {
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] { return cluster.asked == 1; }));
  Set([](ObservedAllocation& one) { one.phase = ObservedPhase::kRunning; });
  driver->Want("uid", Wish(1, "1", true));
  ASSERT_TRUE(Eventually([&] { return Said<AllocationEnded>() != nullptr; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(cluster.killed.size(), 1);
  EXPECT_EQ(Said<AllocationEnded>()->end, AllocationEnd::kCompleted);
}

TEST_F(BackendDriverTest, ARefusalIsSaidInTheBackendsWords) {
  cluster.refuse = absl::FailedPreconditionError("no such partition");
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] { return Said<AllocationEnded>() != nullptr; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(Said<AllocationEnded>()->end, AllocationEnd::kRefused);
  EXPECT_EQ(Said<AllocationEnded>()->message, "no such partition");
}

TEST_F(BackendDriverTest, ABackendThatTakesNothingIsAskedForOneAllocationAtATimeAndEverLess) {
  cluster.refuse = absl::UnavailableError("too many requests");
  for (const std::string uid : {"a", "b", "c"}) {
    WantedAllocation wanted = Wish(1);
    wanted.request.id = {uid, uid, 1};
    driver->Want(uid, wanted);
  }
  Start();
  ASSERT_TRUE(Eventually([&] { return cluster.looks > 100; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(cluster.most_asked, 1) << "each may take the whole time of a call";
  EXPECT_GE(cluster.asked, 3);
  EXPECT_LT(cluster.asked, 60) << "in " << cluster.looks << " looks";
}

TEST_F(BackendDriverTest, ABackendThatIsAwayIsSaidAndAskedAgainOnceItAnswers) {
  cluster.unreachable = absl::UnavailableError("no controller");
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] {
    const auto* waits = Said<AllocationWaits>();
    return waits != nullptr && waits->state == "UNREACHABLE" && waits->reason == "no controller";
  }));
  {
    std::lock_guard lock(cluster.mutex);
    cluster.unreachable = absl::OkStatus();
  }
  ASSERT_TRUE(Eventually([&] { return !cluster.listed.empty(); }));
}

TEST_F(BackendDriverTest, WhatIsNoLongerListedForLongEnoughIsGone) {
  driver->Reset({{"uid", Wish(1, "5")}});
  Start();
  ASSERT_TRUE(Eventually([&] { return Said<AllocationEnded>() != nullptr; }));
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(Said<AllocationEnded>()->end, AllocationEnd::kVanished);
  EXPECT_EQ(cluster.asked, 0);
}

TEST_F(BackendDriverTest, WhatTheBackendStartsOverIsOverAndEnded) {
  Start();
  driver->Want("uid", Wish(1));
  ASSERT_TRUE(Eventually([&] { return cluster.asked == 1; }));
  Set([](ObservedAllocation& one) { one.started_over = true; });
  ASSERT_TRUE(Eventually([&] { return Said<AllocationEnded>() != nullptr; }));
  driver->Want("uid", std::nullopt);
  ASSERT_TRUE(Eventually([&] { return cluster.killed.size() == 1; }));
}

TEST_F(BackendDriverTest, MachinesAreLookedAtAgainAndAgainAndAFailureKeepsTheLastOnes) {
  EXPECT_EQ(driver->Nodes().look_time, absl::InfinitePast()) << "not seen yet";
  Start();
  ASSERT_TRUE(Eventually([&] { return cluster.looks_at_nodes > 2; }));
  EXPECT_EQ(driver->Nodes().nodes.at(0).name, "n1");
  EXPECT_EQ(driver->Nodes().error, "");
  int before = 0;
  {
    std::lock_guard lock(cluster.mutex);
    cluster.nodes_refused = absl::PermissionDeniedError("not you");
    before = cluster.looks_at_nodes;
  }
  // The second look after this begins when the first has been written down.
  ASSERT_TRUE(Eventually([&] { return cluster.looks_at_nodes > before + 1; }));
  EXPECT_EQ(driver->Nodes().error, "not you");
  EXPECT_EQ(driver->Nodes().nodes.size(), 1);
}

TEST_F(BackendDriverTest, AClusterThatDoesNotAnswerIsNotAskedForItsMachines) {
  cluster.unreachable = absl::UnavailableError("no controller");
  Start();
  ASSERT_TRUE(Eventually([&] { return cluster.looks > 3; }));
  EXPECT_EQ(driver->Nodes().error, "no controller");
  std::lock_guard lock(cluster.mutex);
  EXPECT_EQ(cluster.looks_at_nodes, 0);
}

}  // namespace
}  // namespace ijepa::coordinator
