// One Apply: the state, the time, and what comes out. The rooms of the core are functions on a
// Turn; they change the state and say what they touched, and Finish turns that into writes and
// effects.
#ifndef IJEPA_COORDINATOR_CORE_TURN_H_
#define IJEPA_COORDINATOR_CORE_TURN_H_

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/core/command.h"
#include "coordinator/core/events.h"
#include "coordinator/core/options.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// Lives for one Apply, on the state thread.
class Turn {
 public:
  Turn(State& state, const CoreOptions& options, Now now)
      : state(state), options(options), now(now) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  State& state;
  const CoreOptions& options;
  const Now now;
  // Jobs that ended in this turn.
  std::vector<std::string> ended;

  // The job's record is written and its watchers are told.
  void Touch(const Job& job);
  // The job's newest attempt is written, too.
  void TouchAttempt(const Job& job);
  // Curve, too: with checkpoints and moves, never with each step.
  void TouchCurve(const Job& job);
  // The desired state of the node is worked out again.
  void TouchNode(const std::string& node);
  // What the scheduler knows of the node is worked out again.
  void ReviewNode(const std::string& node);

  void Put(std::string key, std::string value);
  void Delete(std::string key);
  void PutNode(const std::string& name, const Node& node);
  // Into history, in the same step.
  void Seal(SealedRow row);
  void Prune(Batch::Prune prune);

  // Watchers are told, nothing is written: for figures and for reasons that can be worked out
  // again.
  void Announce(Job& job);
  void AnnounceTokens();
  // The backends hear what is to be had for the job, or that nothing is.
  void AnnounceAllocation(const Job& job);
  // Appends to the job's history, and touches it. Merges older events of one code (events.h).
  void AddEvent(Job& job, EventCode code, std::string message);
  // Moves the job along a legal transition, and touches it. The reason is shown to people.
  void Move(Job& job, v1::JobState to, v1::Reason reason = {});

  void Reply(uint64_t token, absl::StatusOr<v1::Job> job);
  // Sends to a node's stream; nothing if it has none.
  void Send(const Node& node, v1::CoordinatorMessage message);
  // Sends to a rank through its node.
  void SendToRank(const Node& node, const v1::RankMessage& to, v1::ToRank message);
  void Close(uint64_t stream, absl::Status why);

  // Works out desired states, writes what was touched and gives all that came out. Once, last.
  Outcome Finish();

 private:
  void MergeOldest(Job& job, const std::string& code);
  void RefreshDesired(const std::string& name);
  void ReviewJob(const Job& job);

  Outcome outcome_;
  std::set<std::string> jobs_;
  std::set<std::string> attempts_;
  std::set<std::string> curves_;
  std::set<std::string> nodes_;
  std::set<std::string> reviewed_;
};

// Etag of a job that has changed `revision` times.
std::string EtagOf(int64_t revision);

v1::Reason MakeReason(absl::string_view code, std::string message);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_TURN_H_
