// Lists that are followed: WatchJobs over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One who follows, until it goes out of scope.
class Follower {
 public:
  Follower(v1::JobService::Stub& stub, const v1::WatchJobsRequest& request) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    reader_ = stub.WatchJobs(&context_, request);
  }
  ~Follower() {
    context_.TryCancel();
    if (!ended_) reader_->Finish();
  }

  // False: the stream has ended.
  bool Next() { return reader_->Read(&answer_); }
  // Reads on until the first list is over; the jobs of it by name.
  std::vector<std::string> FirstList() {
    std::vector<std::string> names;
    do {
      if (!Next()) return {"the stream ended"};
      for (const v1::Job& job : answer_.jobs()) names.push_back(job.name());
    } while (answer_.revision() == 0);
    return names;
  }
  // Reads until a job is in `state`, and gives its name.
  std::string ReadUntil(v1::JobState state) {
    while (Next()) {
      for (const v1::Job& job : answer_.jobs()) {
        if (job.status().state() == state) return job.name();
      }
    }
    return "the stream ended";
  }
  grpc::StatusCode End() {
    while (Next()) {
    }
    ended_ = true;
    return reader_->Finish().error_code();
  }

  const v1::WatchJobsResponse& answer() const { return answer_; }
  int64_t revision() const { return answer_.revision(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchJobsResponse>> reader_;
  v1::WatchJobsResponse answer_;
  bool ended_ = false;
};

class WatchJobsTest : public ServicesTest {
 protected:
  std::string SubmitLabelled(const std::string& team) {
    v1::CreateJobRequest request = RequestFor("job", 1);
    request.set_queue_anyway(true);
    v1::Label& label = *request.mutable_spec()->add_labels();
    label.set_key("team");
    label.set_value(team);
    v1::Job job;
    EXPECT_TRUE(Create(request, job).ok());
    return job.name();
  }
};

TEST_F(WatchJobsTest, SendsWhatHasNotEndedThenWhatChanges) {
  const std::string old = Submit("old", 1);
  const std::string ended = Submit("ended", 1);
  Cancel(ended);
  Follower follower(*jobs, {});
  EXPECT_THAT(follower.FirstList(), ElementsAre(old));
  Cancel(old);
  EXPECT_EQ(follower.ReadUntil(v1::JOB_STATE_CANCELLED), old);
  const std::string young = Submit("young", 1);
  EXPECT_EQ(follower.ReadUntil(v1::JOB_STATE_QUEUED), young);
  EXPECT_EQ(follower.answer().jobs(0).status().events_size(), 0) << "as lists show it";
}

TEST_F(WatchJobsTest, ABrokenStreamGoesOnFromItsRevision) {
  const std::string first = Submit("first", 1);
  const std::string second = Submit("second", 1);
  v1::WatchJobsRequest request;
  {
    Follower follower(*jobs, request);
    follower.FirstList();
    request.set_revision(follower.revision());
  }
  Cancel(second);
  Follower follower(*jobs, request);
  ASSERT_TRUE(follower.Next());
  ASSERT_EQ(follower.answer().jobs_size(), 1) << "what has not changed is not sent again";
  EXPECT_EQ(follower.answer().jobs(0).name(), second);
  EXPECT_GT(follower.revision(), request.revision());
}

TEST_F(WatchJobsTest, ABookmarkTellsOfTimeInWhichNothingOfConcernChanged) {
  v1::WatchJobsRequest request;
  request.add_labels("team=vision");
  {
    Follower follower(*jobs, request);
    EXPECT_THAT(follower.FirstList(), IsEmpty());
    const int64_t listed = follower.revision();
    SubmitLabelled("audio");
    clock.shift_monotonic_seconds = 16;
    do {
      ASSERT_TRUE(follower.Next());
      EXPECT_EQ(follower.answer().jobs_size(), 0);
    } while (follower.revision() <= listed);
    request.set_revision(follower.revision());
  }
  const std::string vision = SubmitLabelled("vision");
  Follower follower(*jobs, request);
  ASSERT_TRUE(follower.Next());
  ASSERT_EQ(follower.answer().jobs_size(), 1);
  EXPECT_EQ(follower.answer().jobs(0).name(), vision);
}

TEST_F(WatchJobsTest, AStreamThatGoesOnKeepsItsFilter) {
  v1::WatchJobsRequest request;
  request.add_labels("team=vision");
  {
    Follower follower(*jobs, request);
    follower.FirstList();
    request.set_revision(follower.revision());
  }
  SubmitLabelled("audio");
  const std::string vision = SubmitLabelled("vision");
  Follower follower(*jobs, request);
  ASSERT_TRUE(follower.Next());
  ASSERT_EQ(follower.answer().jobs_size(), 1);
  EXPECT_EQ(follower.answer().jobs(0).name(), vision);
  request.set_revision(follower.revision() + 1000);
  EXPECT_EQ(Follower(*jobs, request).End(), grpc::StatusCode::OUT_OF_RANGE)
      << "what has not been yet";
}

TEST_F(WatchJobsTest, AListTellsWhereToGoOnFrom) {
  Submit("old", 1);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListJobsResponse list;
  ASSERT_TRUE(jobs->ListJobs(&context, {}, &list).ok());
  v1::WatchJobsRequest request;
  request.set_revision(list.revision());
  const std::string young = Submit("young", 1);
  Follower follower(*jobs, request);
  ASSERT_TRUE(follower.Next());
  ASSERT_EQ(follower.answer().jobs_size(), 1);
  EXPECT_EQ(follower.answer().jobs(0).name(), young);
}

TEST_F(WatchJobsTest, ARevisionOfAnEarlierStartIsOutOfRange) {
  v1::WatchJobsRequest request;
  {
    Follower follower(*jobs, request);
    EXPECT_THAT(follower.FirstList(), IsEmpty());
    request.set_revision(follower.revision());
  }
  StartServer();
  EXPECT_EQ(Follower(*jobs, request).End(), grpc::StatusCode::OUT_OF_RANGE);
  request.set_revision(1);
  EXPECT_EQ(Follower(*jobs, request).End(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(WatchJobsTest, FollowsThoseWithALabelAlone) {
  const std::string vision = SubmitLabelled("vision");
  const std::string audio = SubmitLabelled("audio");
  v1::WatchJobsRequest request;
  request.add_labels("team=vision");
  Follower follower(*jobs, request);
  EXPECT_THAT(follower.FirstList(), ElementsAre(vision));
  Cancel(audio);
  Cancel(vision);
  EXPECT_EQ(follower.ReadUntil(v1::JOB_STATE_CANCELLED), vision);
}

TEST_F(WatchJobsTest, AJobThatLeavesTheStatesIsSentOnceMore) {
  const std::string job = Submit("job", 1);
  v1::WatchJobsRequest request;
  request.add_states(v1::JOB_STATE_QUEUED);
  Follower follower(*jobs, request);
  EXPECT_THAT(follower.FirstList(), ElementsAre(job));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::HoldJobRequest hold;
  hold.set_name(job);
  v1::Job held;
  ASSERT_TRUE(jobs->HoldJob(&context, hold, &held).ok());
  EXPECT_EQ(follower.ReadUntil(v1::JOB_STATE_HELD), job);
  // Its end is of no concern any more.
  Cancel(job);
  const std::string next = Submit("next", 1);
  ASSERT_TRUE(follower.Next());
  ASSERT_EQ(follower.answer().jobs_size(), 1);
  EXPECT_EQ(follower.answer().jobs(0).name(), next);
}

TEST_F(WatchJobsTest, AListLongerThanAMessageComesInParts) {
  constexpr int kJobs = 230;
  std::vector<std::string> made;
  for (int i = 0; i < kJobs; ++i) made.push_back(Submit("job", 1));
  Follower follower(*jobs, {});
  EXPECT_THAT(follower.FirstList(), ::testing::ContainerEq(made));
}

TEST_F(WatchJobsTest, RefusesAFilterThatCannotBeRead) {
  v1::WatchJobsRequest request;
  request.add_labels("team");
  EXPECT_EQ(Follower(*jobs, request).End(), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_labels();
  request.set_revision(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Follower(*jobs, request).End(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace ijepa::coordinator
