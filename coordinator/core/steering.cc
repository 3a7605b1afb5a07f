// See steering.h.
#include "coordinator/core/steering.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/dependencies.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/requests.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {
namespace {

template <typename Command>
RequestMark MarkOf(const Command& command) {
  return {command.token, command.request_id, command.digest};
}

// The live job, with the etag that was asked for. Null: the command has been answered.
template <typename Command>
Job* FindToChange(Turn& turn, const Command& command) {
  if (AnswerRepeated(turn, MarkOf(command))) return nullptr;
  const Job* found = FindJob(turn.state, command.name);
  if (found == nullptr) {
    turn.Reply(command.token, NoJob(command.name));
    return nullptr;
  }
  if (absl::Status fresh = CheckEtag(command.etag, found->proto); !fresh.ok()) {
    turn.Reply(command.token, std::move(fresh));
    return nullptr;
  }
  return &turn.state.jobs.at(found->id);
}

// Replies with the job, whose next etag is known already. What changed nothing is remembered, too:
// repeated later, it might.
template <typename Command>
void Answer(Turn& turn, const Command& command, Job& job, bool changed) {
  if (changed) job.proto.set_etag(EtagOf(job.revision + 1));
  RememberRequest(turn, MarkOf(command), job.id);
  turn.Reply(command.token, job.proto);
}

// Ranks save and stop within the drain deadline; an attempt that has not trained has nothing to
// save.
void MoveAndDrain(Turn& turn, Job& job, v1::JobState to, v1::Reason reason) {
  const v1::JobState before = job.state();
  job.drain_deadline = turn.now.wall + turn.options.drain_deadline;
  turn.Move(job, to, std::move(reason));
  if (before == v1::JOB_STATE_STARTING) ClearGang(turn, job);
  if (!job.gang->clearing) {
    job.gang->deadline = turn.now.monotonic + turn.options.drain_deadline;
    for (const std::string& node : NodesOf(*job.gang)) turn.TouchNode(node);
  }
  JudgeGang(turn, job);
}

bool HasGang(v1::JobState state) {
  return state == v1::JOB_STATE_STARTING || state == v1::JOB_STATE_RUNNING ||
         state == v1::JOB_STATE_RECOVERING || state == v1::JOB_STATE_PAUSING;
}

absl::Status WrongState(const Job& job, absl::string_view rule) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("job ", job.id, " is ", ShortName(job.state()), "; ", rule)),
                    "WRONG_STATE", job.id);
}

// Each answers whether the job was changed.
absl::StatusOr<bool> Hold(Turn& turn, Job& job) {
  const v1::JobState state = job.state();
  if (state == v1::JOB_STATE_HELD) return false;
  if (state != v1::JOB_STATE_QUEUED && state != v1::JOB_STATE_BLOCKED) {
    return WrongState(job, "only one that waits can be held; pause one that runs");
  }
  turn.AddEvent(job, EventCode::kHeld, "held by request");
  turn.Move(job, v1::JOB_STATE_HELD, MakeReason("HELD", "held by request, until it is released"));
  return true;
}

absl::StatusOr<bool> Release(Turn& turn, Job& job) {
  if (IsTerminal(job.state()) || job.state() == v1::JOB_STATE_PAUSED) {
    return WrongState(job, "only one that is held can be released");
  }
  if (job.state() != v1::JOB_STATE_HELD) return false;
  turn.AddEvent(job, EventCode::kReleased, "released by request");
  QueueOrBlock(turn, job, MakeReason("PENDING", "waits for the next placement"));
  return true;
}

absl::StatusOr<bool> Pause(Turn& turn, Job& job) {
  const v1::JobState state = job.state();
  if (state == v1::JOB_STATE_PAUSED || state == v1::JOB_STATE_PAUSING) return false;
  if (state != v1::JOB_STATE_QUEUED && !HasGang(state)) {
    return WrongState(job, "only one that is queued or runs can be paused; hold one that waits");
  }
  turn.AddEvent(job, EventCode::kPauseRequested, "pause requested");
  if (state == v1::JOB_STATE_QUEUED) {
    turn.Move(job, v1::JOB_STATE_PAUSED, MakeReason("PAUSED", "paused by request"));
  } else {
    MoveAndDrain(turn, job, v1::JOB_STATE_PAUSING,
                 MakeReason("PAUSING", "ranks are saving and stopping"));
  }
  return true;
}

absl::StatusOr<bool> Resume(Turn& turn, Job& job) {
  const v1::JobState state = job.state();
  if (state == v1::JOB_STATE_PAUSING) {
    return WrongState(job, "it is still saving; resume it when it is PAUSED");
  }
  if (state == v1::JOB_STATE_QUEUED || HasGang(state)) return false;
  if (state != v1::JOB_STATE_PAUSED) return WrongState(job, "only one that is paused can go on");
  turn.AddEvent(job, EventCode::kResumeRequested,
                absl::StrCat("to go on from step ", CommittedStep(job)));
  turn.Move(job, v1::JOB_STATE_QUEUED, MakeReason("PENDING", "waits for the next placement"));
  return true;
}

// Whether the job was changed.
bool Cancel(Turn& turn, Job& job) {
  const v1::JobState before = job.state();
  if (IsTerminal(before) || before == v1::JOB_STATE_CANCELLING) return false;
  turn.AddEvent(job, EventCode::kCancelRequested, "cancel requested");
  if (HasGang(before)) {
    MoveAndDrain(turn, job, v1::JOB_STATE_CANCELLING,
                 MakeReason("CANCELLING", "ranks are saving and stopping"));
  } else {
    turn.AddEvent(job, EventCode::kCancelled, "cancelled while it waited");
    turn.Move(job, v1::JOB_STATE_CANCELLED, MakeReason("CANCELLED", "cancelled by request"));
  }
  return true;
}

}  // namespace

void HandleSteerJob(Turn& turn, const SteerJob& command) {
  if (const v1::SealedJob* past = FindLent(turn.state, command.name)) {
    if (AnswerRepeated(turn, MarkOf(command))) return;
    turn.Reply(command.token, WithReason(absl::FailedPreconditionError(absl::StrCat(
                                             "job ", JobId(past->job().name()), " has ended ",
                                             ShortName(past->job().status().state()))),
                                         "WRONG_STATE", command.name));
    return;
  }
  Job* job = FindToChange(turn, command);
  if (job == nullptr) return;
  absl::StatusOr<bool> changed = false;
  switch (command.steering) {
    case Steering::kHold:
      changed = Hold(turn, *job);
      break;
    case Steering::kRelease:
      changed = Release(turn, *job);
      break;
    case Steering::kPause:
      changed = Pause(turn, *job);
      break;
    case Steering::kResume:
      changed = Resume(turn, *job);
      break;
  }
  if (changed.ok()) {
    Answer(turn, command, *job, *changed);
  } else {
    turn.Reply(command.token, changed.status());
  }
}

void HandleCancelArray(Turn& turn, const CancelArray& command) {
  State& state = turn.state;
  const auto repeated = state.requests.find(command.request_id);
  if (repeated != state.requests.end() && repeated->second.digest() == command.digest) {
    turn.Reply(command.token, v1::Job());
    return;
  }
  // With another rest it is refused.
  if (AnswerRepeated(turn, MarkOf(command))) return;
  std::vector<std::string> ids;
  state.index.Find(
      {.states = {}, .labels = {ArrayLabel(command.name), ProjectLabel(ProjectOf(command.name))}},
      [&](int64_t number) {
        ids.push_back(state.ids_by_number.at(number));
        return true;
      });
  for (const std::string& id : ids) Cancel(turn, state.jobs.at(id));
  // Its first job, live or not.
  RememberRequest(turn, MarkOf(command), absl::StrCat(ArrayId(command.name), "-0"));
  turn.Reply(command.token, v1::Job());
}

void HandleCancelJob(Turn& turn, const CancelJob& command) {
  if (const v1::SealedJob* past = FindLent(turn.state, command.name)) {
    if (AnswerRepeated(turn, MarkOf(command))) return;
    const absl::Status fresh = CheckEtag(command.etag, past->job());
    if (fresh.ok()) RememberRequest(turn, MarkOf(command), JobId(past->job().name()));
    turn.Reply(command.token, fresh.ok() ? absl::StatusOr<v1::Job>(past->job()) : fresh);
    return;
  }
  Job* job = FindToChange(turn, command);
  if (job == nullptr) return;
  Answer(turn, command, *job, Cancel(turn, *job));
}

}  // namespace ijepa::coordinator
