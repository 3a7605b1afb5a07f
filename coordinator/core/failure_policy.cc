// See failure_policy.h.
#include "coordinator/core/failure_policy.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

constexpr absl::Duration kLongestDelay = absl::Minutes(10);
// Share of the delay by which it may differ, so that jobs that fell together do not rise together.
constexpr double kJitter = 0.2;

// splitmix64 (Steele, Lea, Flood 2014), the finaliser.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct CodeClass {
  const char* code;
  const char* failure_class;
};

// What a rank's canonical status code means (worker/jepa/trainer.h lists who returns which).
constexpr CodeClass kCodeClasses[] = {
    {"INVALID_ARGUMENT", kUserError},
    {"NOT_FOUND", kUserError},
    {"FAILED_PRECONDITION", kUserError},
    {"PERMISSION_DENIED", kUserError},
    {"UNIMPLEMENTED", kUserError},
    {"OUT_OF_RANGE", kNonfiniteLoss},
    {"RESOURCE_EXHAUSTED", kStorage},
    {"DATA_LOSS", kStorage},
    {"ABORTED", kCollective},
    {"UNAVAILABLE", kCollective},
    {"DEADLINE_EXCEEDED", kCollective},
    {"CANCELLED", kCollective},
};

const char* ClassOfExit(const v1::RankExit& exit) {
  const bool memory =
      absl::StrContains(exit.message(), "memory") || absl::StrContains(exit.message(), "OOM");
  if (exit.status_code() == "RESOURCE_EXHAUSTED" && memory) {
    // LibTorch and our own messages of the CUDA allocator begin with the word.
    return absl::StrContains(exit.message(), "CUDA") ? kOomGpu : kOomHost;
  }
  if (exit.slow_link()) return kNetwork;
  if (exit.signal() != 0) return kCrash;
  for (const CodeClass& entry : kCodeClasses) {
    if (exit.status_code() == entry.code) return entry.failure_class;
  }
  return kCrash;
}

const char* ClassOf(const v1::Evidence& evidence) {
  // A spec that cannot run fails on a broken GPU too.
  if (HasHardXid(evidence.xids()) && ClassOfExit(evidence.exit()) != absl::string_view(kUserError))
    return kGpuHw;
  switch (evidence.kind()) {
    case v1::EVIDENCE_KIND_EXIT:
      return ClassOfExit(evidence.exit());
    case v1::EVIDENCE_KIND_NODE_LOST:
      return kNodeLost;
    case v1::EVIDENCE_KIND_START_DEADLINE:
      return kStartFailed;
    case v1::EVIDENCE_KIND_HANG:
      return kHang;
    case v1::EVIDENCE_KIND_ALLOCATION:
      return kPreempted;
    default:
      return kCrash;
  }
}

// Lower is nearer to the cause.
int DistanceFromCause(const v1::Evidence& evidence) {
  const absl::string_view failure_class = ClassOf(evidence);
  if (failure_class == kGpuHw) return 0;
  return failure_class == kCollective ? 2 : 1;
}

v1::FailureAction ActionFor(const std::string& failure_class, const v1::OnFailureSpec& on_failure) {
  const google::protobuf::FieldDescriptor* field =
      v1::OnFailureSpec::descriptor()->FindFieldByName(absl::AsciiStrToLower(failure_class));
  const bool given = field != nullptr && on_failure.GetReflection()->HasField(on_failure, field);
  if (given) {
    return static_cast<v1::FailureAction>(
        on_failure.GetReflection()->GetEnumValue(on_failure, field));
  }
  // PREEMPTED, and jobs stored before they had a choice.
  return failure_class == kUserError ? v1::FAILURE_ACTION_FAIL : v1::FAILURE_ACTION_RETRY;
}

absl::Duration Delay(const RetryHistory& history) {
  if (history.no_progress <= 1) return absl::ZeroDuration();
  absl::Duration delay = history.first_delay;
  for (int i = 2; i < history.no_progress && delay < kLongestDelay; ++i) delay *= 2;
  delay = std::min(delay, kLongestDelay);
  const double unit = static_cast<double>(Mix(history.seed) >> 11) / 9007199254740992.0;  // 2^53
  return delay * (1.0 - kJitter + 2 * kJitter * unit);
}

}  // namespace

bool IsHardXid(int xid) {
  // 48 double-bit ECC error; 63, 64 a page or row retired, or not to be; 79 fallen off the bus;
  // 94, 95 uncorrected error, contained or not (control-plane.md 2, complaint 10).
  constexpr int kHard[] = {48, 63, 64, 79, 94, 95};
  return std::find(std::begin(kHard), std::end(kHard), xid) != std::end(kHard);
}

bool HasHardXid(const google::protobuf::RepeatedField<int32_t>& xids) {
  return std::any_of(xids.begin(), xids.end(), IsHardXid);
}

bool MayBeTheGpu(const v1::Failure& failure) { return failure.failure_class() != kUserError; }

v1::Failure Classify(const v1::Evidence& evidence) {
  v1::Failure failure;
  failure.set_failure_class(ClassOf(evidence));
  failure.set_rank(evidence.rank());
  failure.set_node(evidence.node());
  failure.set_exit_code(evidence.exit().exit_code());
  failure.set_signal(evidence.exit().signal());
  failure.set_message(evidence.exit().message());
  *failure.mutable_log_tail() = evidence.exit().log_tail();
  if (evidence.has_time()) *failure.mutable_time() = evidence.time();
  if (evidence.has_detected_time()) *failure.mutable_detected_time() = evidence.detected_time();
  *failure.mutable_stack_ranks() = evidence.stack_ranks();
  *failure.mutable_xids() = evidence.xids();
  return failure;
}

bool Precedes(const v1::Evidence& a, const v1::Evidence& b) {
  const int a_distance = DistanceFromCause(a);
  const int b_distance = DistanceFromCause(b);
  if (a_distance != b_distance) return a_distance < b_distance;
  return FromProto(a.time()) < FromProto(b.time());
}

std::string DescribeFailure(const v1::Failure& failure) {
  std::string text;
  if (failure.rank() >= 0) absl::StrAppend(&text, "rank ", failure.rank());
  if (!failure.node().empty()) {
    absl::StrAppend(&text, text.empty() ? "node " : " on ", failure.node());
  }
  if (failure.signal() != 0) {
    absl::StrAppend(&text, " was killed by signal ", failure.signal());
  } else if (failure.exit_code() != 0) {
    absl::StrAppend(&text, " exited with code ", failure.exit_code());
  }
  if (!failure.message().empty()) {
    absl::StrAppend(&text, text.empty() ? "" : ": ", failure.message());
  }
  if (!failure.xids().empty()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", "its GPU reported Xid ",
                    absl::StrJoin(failure.xids(), ", "));
  }
  return text.empty() ? failure.failure_class() : text;
}

RetryDecision DecideRetry(const v1::Failure& failure, const RetryHistory& history) {
  RetryDecision decision;
  const std::string cause =
      absl::StrCat(DescribeFailure(failure), " (", failure.failure_class(), ")");
  const auto give_up = [&](const char* code, const std::string& rule) {
    decision.reason.set_code(code);
    decision.reason.set_message(absl::StrCat(cause, "; ", rule));
    return decision;
  };
  if (ActionFor(failure.failure_class(), history.on_failure) == v1::FAILURE_ACTION_FAIL) {
    return give_up(failure.failure_class().c_str(),
                   absl::StrCat("not retried: on_failure.",
                                absl::AsciiStrToLower(failure.failure_class()), " is fail"));
  }
  if (history.failed_attempts > history.max_restarts) {
    return give_up("MAX_RESTARTS",
                   absl::StrCat(history.failed_attempts, " attempts failed, max_restarts is ",
                                history.max_restarts));
  }
  if (history.no_progress >= history.max_no_progress) {
    return give_up("NO_PROGRESS",
                   absl::StrCat(history.no_progress,
                                " attempts in a row ended without a newer checkpoint, "
                                "max_no_progress is ",
                                history.max_no_progress));
  }
  decision.retry = true;
  decision.delay = Delay(history);
  decision.reason.set_code("RETRYING");
  decision.reason.set_message(
      decision.delay == absl::ZeroDuration()
          ? absl::StrCat(cause, "; starting again at once")
          : absl::StrCat(cause, "; starting again after ",
                         absl::FormatDuration(absl::Trunc(decision.delay, absl::Seconds(1)))));
  return decision;
}

uint64_t JitterSeed(const std::string& uid, int64_t generation) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : uid) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return Mix(hash ^ static_cast<uint64_t>(generation));
}

}  // namespace ijepa::coordinator
