// What is kept of a job's history: nothing that comes often pushes out what is rare.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/events.h"
#include "coordinator/core/turn.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

class CoreEventsTest : public ::testing::Test {
 protected:
  CoreEventsTest() {
    core.Connect("node-a", 1);
    id = core.Submit("job", 1);
    core.RunTo(id, 1);
  }

  void Note(const std::string& code, const std::string& text) {
    v1::FromRank message;
    message.set_sequence(++sequence_);
    message.mutable_note()->set_code(code);
    message.mutable_note()->set_message(text);
    core.FromRank(id, 0, message);
  }

  const google::protobuf::RepeatedPtrField<v1::Event>& events() {
    return core.job(id).proto.status().events();
  }
  int64_t Happened() {
    int64_t total = 0;
    for (const v1::Event& event : events()) total += std::max<int64_t>(1, event.count());
    return total;
  }

  CoreHarness core;
  std::string id;

 private:
  int64_t sequence_ = 0;
};

TEST_F(CoreEventsTest, OfARoutineCodeTheNewestAreKeptAndTheOthersMergedWithTheirCount) {
  const absl::Time begin = core.now().wall;
  for (int i = 1; i <= 300; ++i) {
    core.Skip(absl::Seconds(1));
    Note("BAD_IMAGE", absl::StrCat(i, ".jpg"));
  }
  std::vector<v1::Event> bad;
  for (const v1::Event& event : events()) {
    if (event.code() == "BAD_IMAGE") bad.push_back(event);
  }
  ASSERT_EQ(bad.size(), kMaxRoutineEvents);
  EXPECT_EQ(bad.back().message(), "rank 0: 300.jpg");
  EXPECT_EQ(bad.back().count(), 0);
  EXPECT_EQ(bad.front().message(), absl::StrCat("rank 0: ", 301 - kMaxRoutineEvents, ".jpg"));
  EXPECT_EQ(bad.front().count(), 301 - kMaxRoutineEvents);
  EXPECT_GT(FromProto(bad.front().first_time()), begin);
  EXPECT_LE(FromProto(bad.front().first_time()), begin + absl::Seconds(2));
  EXPECT_EQ(core.CountEvents(id, "BAD_IMAGE"), 300);
  EXPECT_TRUE(core.HasEvent(id, "SUBMITTED"));
}

TEST_F(CoreEventsTest, NoCodeHoweverFrequentPushesOutAnother) {
  // Not all of a kind, and none of them of those that are expected to repeat.
  std::vector<const char*> codes = {"RESUMED",
                                    "CHECKPOINT_UNUSABLE",
                                    "DATA_STALLED",
                                    "COLLAPSE_CLEARED",
                                    "COLLAPSE_SUSPECTED",
                                    "PRECISION_FALLBACK",
                                    "NON_FINITE_SKIPPED",
                                    "BAD_IMAGE",
                                    "SOMETHING_NEW"};
  for (int i = 1; i <= 300; ++i) {
    for (const char* code : codes) Note(code, "again");
    EXPECT_LE(events().size(), kMaxEvents);
  }
  for (const char* code : {"SUBMITTED", "STARTED", "RUNNING"}) {
    EXPECT_EQ(core.CountEvents(id, code), 1) << code;
  }
  for (const char* code : codes) {
    const std::string name = code == codes.back() ? "NOTE" : code;
    EXPECT_EQ(core.CountEvents(id, name), 300) << code;
  }
}

TEST_F(CoreEventsTest, NoneIsForgottenAndTheStoreHasWhatTheStateHas) {
  for (int i = 1; i <= 100; ++i) Note(i % 3 == 0 ? "RESUMED" : "BAD_IMAGE", absl::StrCat(i));
  EXPECT_EQ(Happened(), core.job(id).last_event_sequence);
  EXPECT_EQ(core.store().Range("event/job/")->size(), events().size());
  core.Restart();
  EXPECT_EQ(Happened(), core.job(id).last_event_sequence);
  EXPECT_EQ(core.CountEvents(id, "BAD_IMAGE"), 67);
  for (int i = 1; i < events().size(); ++i) {
    EXPECT_LT(events()[i - 1].sequence(), events()[i].sequence()) << "newest last";
  }
}

TEST(TurnTest, WhereAllCodesTogetherAreTooManyTheMostFrequentGivesWay) {
  State state;
  const CoreOptions options;
  Turn turn(state, options, Now());
  Job job;
  turn.AddEvent(job, EventCode::kSubmitted, "once");
  const int last = static_cast<int>(EventCode::kCancelled);
  for (int i = 0; i < kMaxEventsOfCode; ++i) {
    for (int code = static_cast<int>(EventCode::kSubmitted) + 1; code <= last; ++code) {
      turn.AddEvent(job, static_cast<EventCode>(code), "again");
    }
  }
  const auto& events = job.proto.status().events();
  EXPECT_EQ(events.size(), kMaxEvents);
  std::map<std::string, int64_t> happened;
  for (const v1::Event& event : events) {
    happened[event.code()] += std::max<int64_t>(1, event.count());
  }
  EXPECT_EQ(happened.at("SUBMITTED"), 1);
  EXPECT_EQ(happened.size(), static_cast<size_t>(last) + 1);
  for (const auto& [code, times] : happened) {
    EXPECT_EQ(times, code == "SUBMITTED" ? 1 : kMaxEventsOfCode) << code;
  }
}

}  // namespace
}  // namespace ijepa::coordinator
