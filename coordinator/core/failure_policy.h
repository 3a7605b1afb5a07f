// Why an attempt failed, decided once from the evidence of all nodes, and what follows from it.
// Pure. Classes: control-plane.md 5.2, as far as they can be told apart today.
#ifndef IJEPA_COORDINATOR_CORE_FAILURE_POLICY_H_
#define IJEPA_COORDINATOR_CORE_FAILURE_POLICY_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "ijepa/v1/job.pb.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

// Classes of Failure.failure_class.
inline constexpr char kUserError[] = "USER_ERROR";
inline constexpr char kOomGpu[] = "OOM_GPU";
inline constexpr char kOomHost[] = "OOM_HOST";
inline constexpr char kNonfiniteLoss[] = "NONFINITE_LOSS";
inline constexpr char kHang[] = "HANG";
inline constexpr char kCollective[] = "COLLECTIVE";
inline constexpr char kGpuHw[] = "GPU_HW";
inline constexpr char kNodeLost[] = "NODE_LOST";
inline constexpr char kStorage[] = "STORAGE";
inline constexpr char kStartFailed[] = "START_FAILED";
inline constexpr char kCrash[] = "CRASH";
inline constexpr char kNetwork[] = "NETWORK";
inline constexpr char kPreempted[] = "PREEMPTED";

// True for errors of a GPU (NVIDIA's Xid numbers) by which its hardware, not a program, has failed:
// uncorrected memory errors, pages or rows that cannot be repaired, a GPU that fell off the bus.
bool IsHardXid(int xid);
bool HasHardXid(const google::protobuf::RepeatedField<int32_t>& xids);

// Whether a GPU that failed may be the cause of it: it is not of what is wrong on any GPU.
bool MayBeTheGpu(const v1::Failure& failure);

// The class and the figures of a failure.
v1::Failure Classify(const v1::Evidence& evidence);

// True if `a` is nearer to the cause than `b`: a failed GPU explains everything, and ranks that
// only lost a peer (COLLECTIVE) say nothing while there is another sign; among equals the earlier
// counts.
bool Precedes(const v1::Evidence& a, const v1::Evidence& b);

// "rank 1 on node-a was killed by signal 9".
std::string DescribeFailure(const v1::Failure& failure);

struct RetryHistory {
  // Failed attempts that count, this one included; drained ones are not failures, and progress
  // gives some back.
  int failed_attempts = 0;
  // Consecutive attempts without a newer checkpoint, this one included.
  int no_progress = 0;
  int max_restarts = 0;
  int max_no_progress = 1;
  // What the job wants done about each class.
  v1::OnFailureSpec on_failure;
  // Before the second retry without progress; doubles for each one more. 0: never waits.
  absl::Duration first_delay = absl::Seconds(10);
  // For the jitter of the delay.
  uint64_t seed = 0;
};

struct RetryDecision {
  bool retry = false;
  // 0 for a first retry, then first_delay doubling to 10 min, each within 20 % either way.
  absl::Duration delay;
  // Why it fails, or what it waits for.
  v1::Reason reason;
};

RetryDecision DecideRetry(const v1::Failure& failure, const RetryHistory& history);

// A number that differs between jobs and generations, the same on every machine.
uint64_t JitterSeed(const std::string& uid, int64_t generation);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_FAILURE_POLICY_H_
