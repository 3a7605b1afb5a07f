// The thread around the core: nothing leaves before it is durable, and a store that fails costs no
// state.
#include "coordinator/state_thread.h"

#include <gtest/gtest.h>

#include <future>
#include <mutex>

#include "absl/strings/match.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/store/memory_store.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

// Stands still until moved. Thread-safe.
class ManualClock : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + Monotonic(); }
  absl::Duration Monotonic() override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration duration) {
    std::lock_guard lock(mutex_);
    now_ += duration;
  }

 private:
  std::mutex mutex_;
  absl::Duration now_ = absl::Hours(1);
};

// What left, and how much was durable at that time. State thread only; read after Settle.
class RecordingOutlet : public Outlet {
 public:
  explicit RecordingOutlet(MemoryStore& store) : store_(store) {}
  void Send(uint64_t, const v1::CoordinatorMessage& message) override {
    if (!message.has_desired()) return;
    desired = message.desired();
    stored_at_send = store_.Range("attempt/")->size();
  }
  void Close(uint64_t, const absl::Status& why) override { closed.push_back(why); }
  void CloseAll(const absl::Status&) override { ++closed_all; }
  void Changed(const Job& job) override { changed.push_back(ShortName(job.state())); }
  void AfterTurn(const State&, absl::Duration) override { ++turns; }

  v1::DesiredState desired;
  size_t stored_at_send = 0;
  std::vector<absl::Status> closed;
  int closed_all = 0;
  std::vector<std::string> changed;
  int turns = 0;

 private:
  MemoryStore& store_;
};

class StateThreadTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }

  void Start(size_t max_waiting_calls = 4096) {
    StateThread::Options options;
    options.tick = absl::Milliseconds(5);
    options.max_waiting_calls = max_waiting_calls;
    thread.reset();
    thread = *StateThread::Start(options, store, clock, outlet);
  }

  absl::StatusOr<v1::Job> Create(const std::string& name) {
    CreateJob command;
    command.spec = SpecFor(name, 1);
    command.id = name;
    command.uid = "uid-" + name;
    command.queue_anyway = true;
    std::promise<absl::StatusOr<v1::Job>> answer;
    thread->Call(command, [&](absl::StatusOr<v1::Job> job) { answer.set_value(std::move(job)); });
    return answer.get_future().get();
  }

  void Hello() {
    WorkerHello hello;
    hello.stream = ++stream;
    hello.hello.mutable_info()->set_node("node-a");
    hello.hello.mutable_info()->set_slots(1);
    std::promise<void> done;
    thread->Post(hello, [&] { done.set_value(); });
    done.get_future().get();
  }

  template <typename Look>
  auto See(const Look& look) {
    std::promise<decltype(look(*static_cast<const State*>(nullptr)))> seen;
    thread->Read([&](const State* state) { seen.set_value(look(*state)); });
    return seen.get_future().get();
  }

  size_t Jobs() {
    return See([](const State& state) { return state.jobs.size(); });
  }

  ManualClock clock;
  MemoryStore store;
  RecordingOutlet outlet{store};
  uint64_t stream = 0;
  std::unique_ptr<StateThread> thread;
};

TEST_F(StateThreadTest, AnswersWhenTheJobIsStored) {
  const absl::StatusOr<v1::Job> job = Create("job");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "projects/default/jobs/job");
  EXPECT_EQ(store.Range("job/")->size(), 1);
  EXPECT_EQ(Jobs(), 1);
}

TEST_F(StateThreadTest, WorkersAreToldOnlyWhatIsDurable) {
  Hello();
  ASSERT_TRUE(Create("job").ok());
  Jobs();
  ASSERT_EQ(outlet.desired.gangs_size(), 1);
  EXPECT_EQ(outlet.stored_at_send, 1) << "the attempt was stored before it was sent";
}

TEST_F(StateThreadTest, EveryStartCountsAnEpoch) {
  EXPECT_EQ(thread->epoch(), 1);
  ASSERT_TRUE(Create("job").ok());
  Start();
  EXPECT_EQ(thread->epoch(), 2);
  EXPECT_EQ(Jobs(), 1);
}

TEST_F(StateThreadTest, AFailedCommitLeavesNothingBehindAndHeals) {
  ASSERT_TRUE(Create("before").ok());
  Hello();
  // The test and the state thread share the store: no command is under way when it changes.
  See([this](const State&) {
    store.FailCommits(absl::ResourceExhaustedError("disk is full"));
    return 0;
  });
  const absl::Status status = Create("lost").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), "disk is full")) << status;
  EXPECT_EQ(Jobs(), 1) << "reads go on, from what is durable";
  EXPECT_EQ(outlet.closed_all, 1) << "workers say hello again later";
  const int turns = See([this](const State&) { return outlet.turns; });
  EXPECT_GT(See([this](const State&) { return outlet.turns; }), turns)
      << "streams are still looked through";
  EXPECT_EQ(Create("lost").status().code(), absl::StatusCode::kUnavailable);
  Hello();
  EXPECT_EQ(outlet.closed.back().code(), absl::StatusCode::kUnavailable);
  See([this](const State&) {
    store.FailCommits(absl::OkStatus());
    return 0;
  });
  clock.Advance(absl::Seconds(2));
  EXPECT_TRUE(Create("after").ok());
  EXPECT_EQ(Jobs(), 2);
  EXPECT_EQ(store.Range("job/")->size(), 2);
}

TEST_F(StateThreadTest, RevisionsDoNotGoBackWhenTheStateIsReadAgain) {
  Hello();
  ASSERT_TRUE(Create("job").ok());
  Jobs();
  const int64_t before = outlet.desired.revision();
  See([this](const State&) {
    store.FailCommits(absl::UnavailableError("no"));
    return 0;
  });
  EXPECT_FALSE(Create("lost").ok());
  See([this](const State&) {
    store.FailCommits(absl::OkStatus());
    return 0;
  });
  clock.Advance(absl::Seconds(2));
  Hello();
  Jobs();
  EXPECT_GT(outlet.desired.revision(), before);
}

TEST_F(StateThreadTest, RefusesCallsPastItsLimit) {
  Start(0);
  for (const absl::Status& status :
       {Create("job").status(), thread->TryRead([](const State*) {})}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  }
}

TEST_F(StateThreadTest, AnswersEverybodyWhenItStops) {
  thread->Stop();
  EXPECT_EQ(Create("job").status().code(), absl::StatusCode::kUnavailable);
  bool called = false;
  thread->Read([&](const State* state) { called = state == nullptr; });
  EXPECT_TRUE(called);
}

TEST_F(StateThreadTest, TicksExpireLeases) {
  Hello();
  // In steps below the stall limit, each seen by a tick.
  const auto silent = [this] {
    return See([](const State& state) {
      return state.nodes.at("node-a").state == v1::NODE_STATE_UNREACHABLE;
    });
  };
  for (int i = 0; i < 100000 && !silent(); ++i) clock.Advance(absl::Milliseconds(20));
  EXPECT_TRUE(silent());
}

TEST_F(StateThreadTest, CountsOfHistoryFollowWhatItForgets) {
  ASSERT_TRUE(Create("job").ok());
  std::promise<void> cancelled;
  thread->Call(CancelJob{.name = "job"},
               [&](const absl::StatusOr<v1::Job>&) { cancelled.set_value(); });
  cancelled.get_future().get();
  const auto sealed = [this] {
    return See([](const State& state) {
      const auto found = state.sealed_by_state.find(v1::JOB_STATE_CANCELLED);
      return found == state.sealed_by_state.end() ? int64_t{0} : found->second;
    });
  };
  const auto wait_for = [&](int64_t count) {
    for (int i = 0; i < 10000 && sealed() != count; ++i) clock.Advance(absl::Milliseconds(5));
    return sealed() == count;
  };
  clock.Advance(CoreOptions().seal_after);
  EXPECT_TRUE(wait_for(1));
  clock.Advance(CoreOptions().keep_history);
  EXPECT_TRUE(wait_for(0));
}

}  // namespace
}  // namespace ijepa::coordinator
