// See checkpoints.h.
#include "coordinator/core/checkpoints.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/requests.h"
#include "coordinator/core/retention.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {
namespace {

// Checkpoints in a row, without a failure between them, that give one restart back.
constexpr int kHealingCommits = 10;

v1::CommitResult Refused(std::string message) {
  v1::CommitResult result;
  result.set_message(std::move(message));
  return result;
}

// Removes the checkpoints marked `gone` from the registry; their folders may be deleted.
void Drop(Turn& turn, Job& job, const std::vector<bool>& gone) {
  std::vector<v1::Checkpoint> kept;
  for (size_t i = 0; i < gone.size(); ++i) {
    v1::Checkpoint& checkpoint = job.checkpoints[i];
    if (!gone[i]) {
      kept.push_back(std::move(checkpoint));
      continue;
    }
    turn.Delete(CheckpointKey(job.id, checkpoint.step(), checkpoint.generation()));
    job.deletable.push_back(checkpoint.path());
  }
  job.checkpoints = std::move(kept);
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

// {job name}/checkpoints/{step}-{generation}, or without the generation, in its two parts.
struct CheckpointPath {
  absl::string_view job;
  absl::string_view which;
};

std::optional<CheckpointPath> SplitName(absl::string_view name) {
  constexpr absl::string_view kBetween = "/checkpoints/";
  const size_t slash = name.rfind(kBetween);
  if (slash == absl::string_view::npos) return std::nullopt;
  return CheckpointPath{name.substr(0, slash), name.substr(slash + kBetween.size())};
}

bool IsMeant(const v1::Checkpoint& checkpoint, absl::string_view which) {
  const std::string step = absl::StrCat(checkpoint.step());
  return which == step || which == absl::StrCat(step, "-", checkpoint.generation());
}

v1::Checkpoint* FindCheckpoint(State& state, absl::string_view name, Job** job) {
  const auto path = SplitName(name);
  const Job* found = path.has_value() ? FindJob(state, path->job) : nullptr;
  if (found == nullptr) return nullptr;
  *job = &state.jobs.at(found->id);
  for (v1::Checkpoint& checkpoint : (*job)->checkpoints) {
    if (IsMeant(checkpoint, path->which)) return &checkpoint;
  }
  return nullptr;
}

RequestMark MarkOf(const PinCheckpoint& command) {
  return {command.token, command.request_id, command.digest};
}

// Pins in the record of a job that has ended and was sealed. False if it is no such job.
bool PinInHistory(Turn& turn, const PinCheckpoint& command) {
  const auto path = SplitName(command.name);
  v1::SealedJob* past = path.has_value() ? FindLent(turn.state, path->job) : nullptr;
  if (past == nullptr) return false;
  if (absl::Status fresh = CheckEtag(command.etag, past->job()); !fresh.ok()) {
    turn.Reply(command.token, std::move(fresh));
    return true;
  }
  for (v1::Checkpoint& checkpoint : *past->mutable_checkpoints()) {
    if (!IsMeant(checkpoint, path->which)) continue;
    if (checkpoint.pinned() != command.pinned) {
      checkpoint.set_pinned(command.pinned);
      past->set_revision(past->revision() + 1);
      past->mutable_job()->set_etag(EtagOf(past->revision()));
      *past->mutable_job()->mutable_status()->mutable_latest_checkpoint() =
          past->checkpoints(past->checkpoints_size() - 1);
      turn.Seal(RowOf(*past));
    }
    RememberRequest(turn, MarkOf(command), JobId(past->job().name()));
    turn.Reply(command.token, past->job());
    return true;
  }
  return false;
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
  job.gang->safe = turn.now.monotonic;
  std::vector<std::string> told_before = std::exchange(job.deletable, {});
  job.checkpoints.push_back(std::move(checkpoint));
  std::vector<bool> gone(job.checkpoints.size());
  for (size_t i = 0; i < gone.size(); ++i) gone[i] = MayGo(turn.state, job, i);
  Drop(turn, job, gone);
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
  std::vector<bool> gone;
  for (const v1::Checkpoint& checkpoint : job.checkpoints) gone.push_back(passed_over(checkpoint));
  if (std::none_of(gone.begin(), gone.end(), [](bool is_gone) { return is_gone; })) return;
  turn.AddEvent(job, EventCode::kRolledBack,
                absl::StrCat("from step ", CommittedStep(job), " to step ", step,
                             ": newer checkpoints were not usable"));
  Drop(turn, job, gone);
}

void HandlePin(Turn& turn, const PinCheckpoint& command) {
  if (AnswerRepeated(turn, MarkOf(command)) || PinInHistory(turn, command)) return;
  Job* job = nullptr;
  v1::Checkpoint* checkpoint = FindCheckpoint(turn.state, command.name, &job);
  if (checkpoint == nullptr) {
    turn.Reply(command.token,
               absl::NotFoundError(absl::StrCat("there is no checkpoint ", command.name,
                                                "; ijepactl checkpoints JOB lists what there is")));
    return;
  }
  if (absl::Status fresh = CheckEtag(command.etag, job->proto); !fresh.ok()) {
    turn.Reply(command.token, std::move(fresh));
    return;
  }
  if (checkpoint->pinned() != command.pinned) {
    checkpoint->set_pinned(command.pinned);
    turn.Put(CheckpointKey(job->id, checkpoint->step(), checkpoint->generation()),
             checkpoint->SerializeAsString());
    turn.AddEvent(*job,
                  command.pinned ? EventCode::kCheckpointPinned : EventCode::kCheckpointUnpinned,
                  absl::StrCat("step ", checkpoint->step()));
    if (checkpoint == &job->checkpoints.back()) {
      *job->proto.mutable_status()->mutable_latest_checkpoint() = *checkpoint;
    }
    // The one that Finish will give.
    job->proto.set_etag(EtagOf(job->revision + 1));
  }
  RememberRequest(turn, MarkOf(command), job->id);
  turn.Reply(command.token, job->proto);
}

}  // namespace ijepa::coordinator
