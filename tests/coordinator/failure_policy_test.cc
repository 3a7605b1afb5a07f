// Classes, causes and budgets.
#include "coordinator/core/failure_policy.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

v1::Evidence Exit(const std::string& code, int signal, int64_t second) {
  v1::Evidence evidence;
  evidence.set_kind(v1::EVIDENCE_KIND_EXIT);
  evidence.mutable_exit()->set_status_code(code);
  evidence.mutable_exit()->set_signal(signal);
  *evidence.mutable_time() = ToProto(absl::FromUnixSeconds(second));
  return evidence;
}

TEST(FailurePolicyTest, ClassifiesByStatusCodeSignalAndKind) {
  EXPECT_EQ(Classify(Exit("INVALID_ARGUMENT", 0, 1)).failure_class(), "USER_ERROR");
  EXPECT_EQ(Classify(Exit("NOT_FOUND", 0, 1)).failure_class(), "USER_ERROR");
  EXPECT_EQ(Classify(Exit("OUT_OF_RANGE", 0, 1)).failure_class(), "NONFINITE_LOSS");
  EXPECT_EQ(Classify(Exit("RESOURCE_EXHAUSTED", 0, 1)).failure_class(), "STORAGE");
  EXPECT_EQ(Classify(Exit("ABORTED", 0, 1)).failure_class(), "COLLECTIVE");
  EXPECT_EQ(Classify(Exit("INTERNAL", 0, 1)).failure_class(), "CRASH");
  v1::Evidence slow_link = Exit("ABORTED", 0, 2);
  slow_link.mutable_exit()->set_slow_link(true);
  EXPECT_EQ(Classify(slow_link).failure_class(), "NETWORK");
  EXPECT_TRUE(Precedes(slow_link, Exit("ABORTED", 0, 1))) << "the others only lost a peer";
  EXPECT_EQ(Classify(Exit("", 11, 1)).failure_class(), "CRASH");
  v1::Evidence memory = Exit("RESOURCE_EXHAUSTED", 9, 1);
  memory.mutable_exit()->set_message("out of memory");
  EXPECT_EQ(Classify(memory).failure_class(), "OOM_HOST");
  v1::Evidence lost;
  lost.set_kind(v1::EVIDENCE_KIND_NODE_LOST);
  EXPECT_EQ(Classify(lost).failure_class(), "NODE_LOST");
}

TEST(FailurePolicyTest, TheEarliestSignIsTheCauseUnlessItOnlyLostAPeer) {
  EXPECT_TRUE(Precedes(Exit("INTERNAL", 0, 1), Exit("INTERNAL", 0, 2)));
  EXPECT_FALSE(Precedes(Exit("INTERNAL", 0, 2), Exit("INTERNAL", 0, 1)));
  EXPECT_TRUE(Precedes(Exit("", 9, 2), Exit("ABORTED", 0, 1)));
  EXPECT_FALSE(Precedes(Exit("ABORTED", 0, 1), Exit("", 9, 2)));
}

RetryHistory History(int failed, int no_progress) {
  RetryHistory history;
  history.failed_attempts = failed;
  history.no_progress = no_progress;
  history.max_restarts = 10;
  history.max_no_progress = 8;
  history.seed = 7;
  return history;
}

TEST(FailurePolicyTest, RetriesAtOnceThenBacksOffToTenMinutes) {
  const v1::Failure crash = Classify(Exit("", 9, 1));
  EXPECT_EQ(DecideRetry(crash, History(1, 0)).delay, absl::ZeroDuration());
  EXPECT_EQ(DecideRetry(crash, History(1, 1)).delay, absl::ZeroDuration());
  absl::Duration expected = absl::Seconds(10);
  for (int n = 2; n < 8; ++n) {
    const RetryDecision decision = DecideRetry(crash, History(n, n));
    EXPECT_TRUE(decision.retry);
    EXPECT_GE(decision.delay, expected * 0.8) << n;
    EXPECT_LE(decision.delay, expected * 1.2) << n;
    expected = std::min(expected * 2, absl::Minutes(10));
  }
  RetryHistory long_history = History(1, 50);
  long_history.max_no_progress = 100;
  EXPECT_LE(DecideRetry(crash, long_history).delay, absl::Minutes(12));
}

TEST(FailurePolicyTest, JitterDiffersByJobAndAttemptAndIsTheSameAgain) {
  EXPECT_EQ(JitterSeed("uid", 1), JitterSeed("uid", 1));
  EXPECT_NE(JitterSeed("uid", 1), JitterSeed("uid", 2));
  EXPECT_NE(JitterSeed("uid", 1), JitterSeed("uie", 1));
  const v1::Failure crash = Classify(Exit("", 9, 1));
  RetryHistory one = History(3, 3);
  RetryHistory other = one;
  other.seed = 8;
  EXPECT_EQ(DecideRetry(crash, one).delay, DecideRetry(crash, one).delay);
  EXPECT_NE(DecideRetry(crash, one).delay, DecideRetry(crash, other).delay);
}

TEST(FailurePolicyTest, GivesUpByClassAndByBudgetWithTheNumbers) {
  const v1::Failure crash = Classify(Exit("", 9, 1));
  const RetryDecision user = DecideRetry(Classify(Exit("INVALID_ARGUMENT", 0, 1)), History(1, 1));
  EXPECT_FALSE(user.retry);
  EXPECT_EQ(user.reason.code(), "USER_ERROR");
  EXPECT_TRUE(DecideRetry(crash, History(10, 1)).retry);
  const RetryDecision restarts = DecideRetry(crash, History(11, 1));
  EXPECT_FALSE(restarts.retry);
  EXPECT_TRUE(absl::StrContains(restarts.reason.message(), "max_restarts is 10"));
  const RetryDecision progress = DecideRetry(crash, History(8, 8));
  EXPECT_FALSE(progress.retry);
  EXPECT_EQ(progress.reason.code(), "NO_PROGRESS");
}

TEST(FailurePolicyTest, AJobDecidesPerClassWhetherItIsRetried) {
  const v1::Failure crash = Classify(Exit("", 9, 1));
  const v1::Failure user = Classify(Exit("INVALID_ARGUMENT", 0, 1));
  RetryHistory history = History(1, 1);
  history.on_failure.set_crash(v1::FAILURE_ACTION_FAIL);
  history.on_failure.set_user_error(v1::FAILURE_ACTION_RETRY);
  const RetryDecision decision = DecideRetry(crash, history);
  EXPECT_FALSE(decision.retry);
  EXPECT_EQ(decision.reason.code(), "CRASH");
  EXPECT_TRUE(absl::StrContains(decision.reason.message(), "on_failure.crash is fail"))
      << decision.reason.message();
  EXPECT_TRUE(DecideRetry(user, history).retry);
  EXPECT_TRUE(DecideRetry(Classify(Exit("DATA_LOSS", 0, 1)), history).retry);
}

TEST(FailurePolicyTest, EveryClassHasItsChoiceAndNoChoiceIsWithoutAClass) {
  const std::set<std::string> classes = {kUserError, kOomGpu, kOomHost,     kNonfiniteLoss,
                                         kHang,      kGpuHw,  kNodeLost,    kCollective,
                                         kStorage,   kCrash,  kStartFailed, kNetwork};
  const auto* descriptor = v1::OnFailureSpec::descriptor();
  for (const std::string& name : classes) {
    EXPECT_NE(descriptor->FindFieldByName(absl::AsciiStrToLower(name)), nullptr) << name;
  }
  EXPECT_EQ(descriptor->field_count(), static_cast<int>(classes.size()));
}

TEST(FailurePolicyTest, AGpuWhoseHardwareFailedIsTheCauseHoweverTheRankEnded) {
  v1::Evidence broken = Exit("ABORTED", 0, 9);
  broken.set_rank(3);
  broken.add_xids(31);
  EXPECT_EQ(Classify(broken).failure_class(), "COLLECTIVE") << "31 is a fault of the program";
  broken.add_xids(79);
  const v1::Failure failure = Classify(broken);
  EXPECT_EQ(failure.failure_class(), "GPU_HW");
  EXPECT_TRUE(absl::StrContains(DescribeFailure(failure), "Xid 31, 79"))
      << DescribeFailure(failure);
  EXPECT_TRUE(Precedes(broken, Exit("", 9, 1)));
  EXPECT_FALSE(Precedes(Exit("", 9, 1), broken));
  v1::Evidence user = Exit("INVALID_ARGUMENT", 0, 1);
  user.add_xids(79);
  EXPECT_EQ(Classify(user).failure_class(), "USER_ERROR");
}

TEST(FailurePolicyTest, MemoryOfTheGpuAndOfTheNodeAreTwoClasses) {
  v1::Evidence gpu = Exit("RESOURCE_EXHAUSTED", 0, 1);
  gpu.mutable_exit()->set_message("training step: out of memory: CUDA out of memory. Tried ...");
  EXPECT_EQ(Classify(gpu).failure_class(), "OOM_GPU");
  gpu.mutable_exit()->set_message("training step: out of memory");
  EXPECT_EQ(Classify(gpu).failure_class(), "OOM_HOST");
}

TEST(FailurePolicyTest, DescribesWhoDiedAndHow) {
  v1::Failure failure;
  failure.set_rank(1);
  failure.set_node("node-a");
  failure.set_signal(9);
  EXPECT_EQ(DescribeFailure(failure), "rank 1 on node-a was killed by signal 9");
}

}  // namespace
}  // namespace ijepa::coordinator
