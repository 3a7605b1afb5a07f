// See checkpoints.h.
#include "coordinator/core/checkpoints.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/core/keys.h"

namespace ijepa::coordinator {
namespace {

// Checkpoints in a row, without a failure between them, that give one restart back.
constexpr int kHealingCommits = 10;

v1::CommitResult Refused(std::string message) {
  v1::CommitResult result;
  result.set_message(std::move(message));
  return result;
}

// Removes checkpoints [first, last) from the registry; their folders may be deleted.
void Drop(Turn& turn, Job& job, size_t first, size_t last) {
  for (size_t i = first; i < last; ++i) {
    const v1::Checkpoint& old = job.checkpoints[i];
    turn.Delete(CheckpointKey(job.id, old.step(), old.generation()));
    job.deletable.push_back(old.path());
  }
  job.checkpoints.erase(job.checkpoints.begin() + first, job.checkpoints.begin() + last);
  v1::JobStatus& status = *job.proto.mutable_status();
  if (job.checkpoints.empty()) {
    status.clear_latest_checkpoint();
  } else {
    *status.mutable_latest_checkpoint() = job.checkpoints.back();
  }
}

bool IsCommitted(const Job& job, const std::string& path) {
  return std::any_of(job.checkpoints.begin(), job.checkpoints.end(),
                     [&](const v1::Checkpoint& kept) { return kept.path() == path; });
}

v1::CommitResult Committed(const Job& job) {
  v1::CommitResult result;
  result.set_committed(true);
  for (const std::string& path : job.deletable) {
    if (!IsCommitted(job, path)) result.add_deletable(path);
  }
  return result;
}

// Budgets heal by progress alone, never by time.
void Heal(Job& job) {
  if (job.spent_restarts == 0 || ++job.healing_commits < kHealingCommits) return;
  --job.spent_restarts;
  job.healing_commits = 0;
}

}  // namespace

v1::CommitResult CommitCheckpoint(Turn& turn, Job& job, v1::Checkpoint checkpoint) {
  if (checkpoint.path().empty() || checkpoint.step() < 0) {
    return Refused("a checkpoint needs a path and a step");
  }
  if (IsCommitted(job, checkpoint.path())) return Committed(job);
  if (!job.checkpoints.empty() && checkpoint.step() <= CommittedStep(job)) {
    return Refused(absl::StrCat("step ", checkpoint.step(), " is not past step ",
                                CommittedStep(job), ", which is committed"));
  }
  checkpoint.set_generation(job.gang->generation);
  checkpoint.set_name(absl::StrCat(job.proto.name(), "/checkpoints/", checkpoint.step(), "-",
                                   checkpoint.generation()));
  *checkpoint.mutable_commit_time() = ToProto(turn.now.wall);
  turn.Put(CheckpointKey(job.id, checkpoint.step(), checkpoint.generation()),
           checkpoint.SerializeAsString());
  turn.AddEvent(
      job, EventCode::kCheckpointCommitted,
      absl::StrFormat("step %d, %d bytes in %s; training waited %.2f s, written in %.1f s",
                      checkpoint.step(), checkpoint.bytes(), checkpoint.path(),
                      checkpoint.stall_seconds(), checkpoint.write_seconds()));
  Heal(job);
  std::vector<std::string> told_before = std::exchange(job.deletable, {});
  job.checkpoints.push_back(std::move(checkpoint));
  const size_t kept =
      1 + static_cast<size_t>(std::max(1, job.proto.spec().checkpoint().keep_last()));
  Drop(turn, job, 0, job.checkpoints.size() - std::min(kept, job.checkpoints.size()));
  v1::CommitResult result = Committed(job);
  for (std::string& path : told_before) {
    if (!IsCommitted(job, path)) result.add_deletable(std::move(path));
  }
  turn.TouchCurve(job);
  return result;
}

void RollBackTo(Turn& turn, Job& job, int64_t step) {
  // Those of the attempt itself came after it resumed, however late the note is.
  const auto passed_over = [&](const v1::Checkpoint& checkpoint) {
    return checkpoint.step() > step && checkpoint.generation() < job.gang->generation;
  };
  size_t first = job.checkpoints.size();
  while (first > 0 && passed_over(job.checkpoints[first - 1])) --first;
  if (first == job.checkpoints.size()) return;
  turn.AddEvent(job, EventCode::kRolledBack,
                absl::StrCat("from step ", CommittedStep(job), " to step ", step,
                             ": newer checkpoints were not usable"));
  Drop(turn, job, first, job.checkpoints.size());
}

}  // namespace ijepa::coordinator
