// See gpu_errors.h.
#include "coordinator/core/gpu_errors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/failure_policy.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/quarantine.h"

namespace ijepa::coordinator {
namespace {

v1::Attempt* FindAttempt(Job& job, int64_t generation) {
  auto& attempts = *job.proto.mutable_status()->mutable_attempts();
  const auto found = std::find_if(attempts.begin(), attempts.end(), [&](const v1::Attempt& each) {
    return each.generation() == generation;
  });
  return found == attempts.end() ? nullptr : &*found;
}

bool WasPlaced(const v1::Attempt& attempt, int rank, const std::string& node) {
  return std::any_of(attempt.placements().begin(), attempt.placements().end(),
                     [&](const v1::RankPlacement& placement) {
                       return placement.rank() == rank && placement.node() == node;
                     });
}

v1::GpuErrors& EntryOf(v1::Attempt& attempt, int rank, const std::string& node) {
  for (v1::GpuErrors& entry : *attempt.mutable_gpu_errors()) {
    if (entry.rank() == rank) return entry;
  }
  v1::GpuErrors& entry = *attempt.add_gpu_errors();
  entry.set_rank(rank);
  entry.set_node(node);
  return entry;
}

// What the live attempt will be said to have failed of.
void AddToEvidence(Turn& turn, Job& job, const v1::GpuErrors& errors) {
  if (!job.evidence.has_value()) return;
  v1::Evidence& evidence = *job.evidence;
  if (evidence.rank() == errors.rank()) {
    *evidence.mutable_xids() = errors.xids();
  } else if (HasHardXid(errors.xids()) && MayBeTheGpu(Classify(evidence))) {
    const std::string seen = DescribeFailure(Classify(evidence));
    evidence.set_kind(v1::EVIDENCE_KIND_VANISHED);
    evidence.set_rank(errors.rank());
    evidence.set_node(errors.node());
    evidence.clear_exit();
    evidence.mutable_exit()->set_message(absl::StrCat("its GPU failed; first seen: ", seen));
    *evidence.mutable_xids() = errors.xids();
  }
  turn.Touch(job);
}

// Of an attempt that has ended: its cause, and what follows for the node.
void AddToFailure(Turn& turn, Job& job, v1::Attempt& attempt, const v1::GpuErrors& errors) {
  v1::Failure failure = attempt.failure();
  const bool hard = HasHardXid(errors.xids()) && MayBeTheGpu(failure);
  if (attempt.has_failure() && failure.rank() != errors.rank() && hard) {
    failure.set_message(absl::StrCat("its GPU failed; first seen: ", DescribeFailure(failure)));
    failure.clear_exit_code();
    failure.clear_signal();
    failure.clear_log_tail();
  }
  if (failure.rank() != errors.rank() && !hard) return;
  failure.set_rank(errors.rank());
  failure.set_node(errors.node());
  *failure.mutable_xids() = errors.xids();
  if (hard) failure.set_failure_class(kGpuHw);
  if (attempt.has_failure()) *attempt.mutable_failure() = failure;
  if (hard) CountNodeFault(turn, job, failure);
}

}  // namespace

const Xids& XidsOf(const v1::Attempt& attempt, int rank) {
  for (const v1::GpuErrors& entry : attempt.gpu_errors()) {
    if (entry.rank() == rank) return entry.xids();
  }
  return v1::GpuErrors::default_instance().xids();
}

void TakeGpuErrors(Turn& turn, const std::string& node, const RankErrors& errors) {
  const Job* found = FindJobByUid(turn.state, errors.job_uid);
  if (found == nullptr) return;
  Job& job = turn.state.jobs.at(found->id);
  v1::Attempt* attempt = FindAttempt(job, errors.generation);
  if (attempt == nullptr || !WasPlaced(*attempt, errors.rank, node)) return;
  if (errors.xids.size() <= XidsOf(*attempt, errors.rank).size()) return;
  v1::GpuErrors& entry = EntryOf(*attempt, errors.rank, node);
  *entry.mutable_xids() = errors.xids;
  const bool ended = attempt->has_end_time();
  turn.AddEvent(
      job, EventCode::kGpuError,
      absl::StrCat(
          "rank ", errors.rank, " on ", node, ": its GPU reported Xid ",
          absl::StrJoin(entry.xids(), ", "),
          ended ? absl::StrCat(", heard after the end of attempt ", attempt->generation()) : ""));
  if (ended) {
    AddToFailure(turn, job, *attempt, entry);
  } else {
    AddToEvidence(turn, job, entry);
  }
  turn.Put(AttemptKey(job.id, attempt->generation()), attempt->SerializeAsString());
}

void TakeGpuErrorsOf(Turn& turn, const std::string& node, const v1::NodeReport& report) {
  const auto take = [&](const auto& rank) {
    if (rank.xids().empty()) return;
    TakeGpuErrors(turn, node, {rank.job_uid(), rank.generation(), rank.rank(), rank.xids()});
  };
  for (const v1::RankStatus& rank : report.ranks()) take(rank);
  for (const v1::EndedRank& rank : report.ended_ranks()) take(rank);
}

}  // namespace ijepa::coordinator
