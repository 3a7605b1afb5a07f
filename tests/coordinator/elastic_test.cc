// Elastic jobs: start with what there is, shrink with the nodes, grow at a checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

class ElasticTest : public ::testing::Test {
 protected:
  std::string SubmitElastic(const std::string& name, int min, int max, int shards) {
    CreateJob create;
    create.spec = SpecFor(name, max);
    create.spec.mutable_ranks()->set_min(min);
    create.spec.set_shards(shards);
    create.id = create.uid = name;
    EXPECT_TRUE(core_.Create(create).ok());
    return name;
  }

  size_t Size(const std::string& id) const { return core_.job(id).gang->ranks.size(); }

  // Every rank stops as it was asked to.
  void Drain(const std::string& node, const std::string& id) {
    for (size_t r = 0; r < Size(id); ++r) {
      if (core_.job(id).gang->ranks[r].node != node) continue;
      core_.Exit(node, id, static_cast<int>(r), ExitOf(v1::RANK_OUTCOME_DRAINED));
    }
    core_.Report(node);
  }

  CoreHarness core_;
};

TEST_F(ElasticTest, StartsOnTheLargestDivisorOfItsShardsThatFits) {
  core_.Connect("node-a", 3);
  const std::string id = SubmitElastic("job", 1, 4, 4);
  EXPECT_EQ(Size(id), 2) << "3 does not divide 4";
}

TEST_F(ElasticTest, WaitsBelowItsMinimum) {
  core_.Connect("node-a", 3);
  core_.Connect("node-b", 3);
  const std::string other = core_.Submit("other", 3);
  const std::string id = SubmitElastic("job", 4, 6, 12);
  EXPECT_EQ(core_.state_of(id), v1::JOB_STATE_QUEUED);
}

TEST_F(ElasticTest, GoesOnWithFewerRanksWhenANodeIsLost) {
  core_.Connect("node-a", 2);
  core_.Connect("node-b", 2);
  const std::string id = SubmitElastic("job", 2, 4, 4);
  core_.RunTo(id, 3);
  ASSERT_EQ(Size(id), 4);
  core_.Disconnect("node-b");
  for (int second = 0; second < 70; second += 5) {
    core_.Advance(absl::Seconds(5));
    core_.Obey("node-a");
  }
  ASSERT_TRUE(core_.job(id).gang.has_value());
  EXPECT_EQ(Size(id), 2);
  EXPECT_EQ(core_.job(id).gang->launch.world_size(), 2);
}

TEST_F(ElasticTest, GrowsAtACheckpointWhenSlotsAreFree) {
  core_.Connect("node-a", 2);
  const std::string id = SubmitElastic("job", 2, 4, 4);
  core_.RunTo(id, 3);
  core_.Connect("node-b", 2);
  core_.RunTo(id, 4);
  EXPECT_FALSE(core_.desired("node-a").gangs(0).has_drain()) << "not between checkpoints";

  ASSERT_TRUE(core_.Commit(id, 5, "/c/5").committed());
  ASSERT_TRUE(core_.desired("node-a").gangs(0).has_drain());
  EXPECT_EQ(core_.desired("node-a").gangs(0).drain().reason(), "GROW");
  EXPECT_TRUE(core_.HasEvent(id, "GROWING"));
  ASSERT_TRUE(core_.Commit(id, 6, "/c/6").committed()) << "the last save of the smaller gang";
  Drain("node-a", id);
  ASSERT_TRUE(core_.job(id).gang.has_value()) << "starts again at once";
  EXPECT_EQ(Size(id), 4);
  EXPECT_EQ(core_.job(id).gang->launch.resume(0).step(), 6);
  EXPECT_EQ(core_.job(id).proto.status().attempts(0).outcome(), "DRAINED");
  EXPECT_FALSE(core_.job(id).proto.status().attempts(0).has_failure());
}

TEST_F(ElasticTest, DoesNotGrowIntoSlotsThatAJobAheadWaitsFor) {
  core_.Connect("node-a", 2);
  const std::string id = SubmitElastic("job", 2, 4, 4);
  core_.RunTo(id, 3);
  CreateJob urgent;
  urgent.spec = SpecFor("urgent", 3);
  urgent.spec.set_priority(10);
  urgent.id = urgent.uid = "urgent";
  urgent.queue_anyway = true;
  ASSERT_TRUE(core_.Create(urgent).ok());
  core_.Connect("node-b", 2);
  ASSERT_EQ(core_.state_of("urgent"), v1::JOB_STATE_QUEUED);
  ASSERT_TRUE(core_.Commit(id, 5, "/c/5").committed());
  EXPECT_FALSE(core_.desired("node-a").gangs(0).has_drain());
  // What was tried on the index was taken back.
  EXPECT_EQ(core_.state().cluster.Find("node-a")->free, 0);
  EXPECT_EQ(core_.state().cluster.Find("node-b")->free, 2);
}

TEST_F(ElasticTest, AJobOfOneSizeIsLeftAlone) {
  core_.Connect("node-a", 2);
  const std::string id = core_.Submit("job", 2);
  core_.RunTo(id, 3);
  core_.Connect("node-b", 8);
  ASSERT_TRUE(core_.Commit(id, 5, "/c/5").committed());
  EXPECT_FALSE(core_.desired("node-a").gangs(0).has_drain());
}

}  // namespace
}  // namespace ijepa::coordinator
