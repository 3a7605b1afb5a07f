// All the coordinator knows. Only the core changes it, on the state thread; everybody else reads.
// Slots in use are never counted up and down: they follow from the live gangs (SlotsUsed).
#ifndef IJEPA_COORDINATOR_CORE_STATE_H_
#define IJEPA_COORDINATOR_CORE_STATE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/core/cluster_index.h"
#include "coordinator/core/fair_share.h"
#include "coordinator/core/job_index.h"
#include "coordinator/core/names.h"
#include "coordinator/core/outside_jobs.h"
#include "coordinator/core/progress_watch.h"
#include "coordinator/core/proto_time.h"
#include "coordinator/core/running_gangs.h"
#include "coordinator/core/scheduler_figures.h"
#include "coordinator/core/slow_ranks.h"
#include "coordinator/core/stop_cause.h"
#include "coordinator/core/waiting_jobs.h"
#include "ijepa/v1/job.pb.h"
#include "ijepa/v1/storage.pb.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::coordinator {

// One rank of a live gang, as its node reported it.
struct RankState {
  std::string node;
  int64_t step = 0;
  // Reported at least once.
  bool seen = false;
  // Has finished a step in this attempt.
  bool stepped = false;
  // The process is known to be gone, or given up. Never goes back.
  bool gone = false;
  v1::RankOutcome outcome = v1::RANK_OUTCOME_UNSPECIFIED;
  ProgressWatch watch;
  WorkWindow work;
  SlowVerdict slowness;
  // Its stacks are in its log, or could not be taken.
  bool stacks_collected = false;
  // Highest sequence of a note that was taken; others are only acknowledged.
  int64_t last_note = 0;
};

// A rank that waits for a rendezvous key.
struct Waiter {
  int rank = 0;
  int64_t sequence = 0;
};

// The live attempt of a job and the slots it holds. ranks[r] is rank r.
struct Gang {
  int64_t generation = 0;
  std::vector<RankState> ranks;
  // Same for all ranks, frozen at the start of the attempt.
  v1::RankLaunch launch;
  // Own work of its ranks, and those of them that are slow.
  WorkTable work;
  std::set<int> slow_ranks;
  // No longer in the desired state of its nodes: the ranks are being killed.
  bool clearing = false;
  absl::Time clearing_since = absl::InfinitePast();
  // It hangs: its nodes write the stacks of its ranks, until `deadline`. Clearing is next.
  bool collecting = false;
  // Ranks stop by themselves (a worker drains, or it grows); killed at `deadline`.
  bool draining = false;
  // Of `draining`.
  StopCause cause = StopCause::kNode;
  // Monotonic. When the attempt began, and when it last committed a checkpoint or began.
  absl::Duration start;
  absl::Duration safe;
  // Per node: the revision of its desired state that first had this gang as it is; absent: the
  // next.
  std::map<std::string, int64_t> revisions;
  // Monotonic. Of the start while ranks are missing, of the stacks, of the drain, or of the
  // clearing.
  absl::Duration deadline;
  std::map<std::string, std::string> rendezvous;
  std::map<std::string, std::vector<Waiter>> waiters;
};

struct Job {
  std::string id;
  // Order of submission.
  int64_t number = 0;
  // What clients see, whole.
  v1::Job proto;
  int64_t revision = 0;
  int no_progress = 0;
  // Failed attempts that count against max_restarts, and checkpoints since the last of them.
  int spent_restarts = 0;
  int healing_commits = 0;
  // Times that a job behind it was started on slots that it waits for.
  int bypassed = 0;
  int64_t last_event_sequence = 0;
  // Committed, oldest first, steps strictly rising.
  std::vector<v1::Checkpoint> checkpoints;
  std::vector<std::string> deletable;
  std::optional<Gang> gang;
  // Earliest sign that the live attempt failed.
  std::optional<v1::Evidence> evidence;
  absl::Time drain_deadline = absl::InfiniteFuture();
  // Allocations in a row that came to nothing before an attempt began.
  int refusals = 0;
  // Monotonic. Of an allocation that was granted, until its workers are here.
  absl::Duration allocation_deadline = absl::InfiniteDuration();
  // Jobs of spec.depends_on that have not ended.
  std::set<std::string> waiting_for;
  // Monotonic. Not started before.
  absl::Duration not_before = -absl::InfiniteDuration();
  // Steps between points of the curve.
  int64_t curve_stride = 1;
  // Figures changed since watchers were told.
  bool live_change = false;

  v1::JobState state() const { return proto.status().state(); }
  v1::Attempt* attempt() {
    auto* attempts = proto.mutable_status()->mutable_attempts();
    return attempts->empty() ? nullptr : attempts->Mutable(attempts->size() - 1);
  }
};

struct Node {
  v1::NodeInfo info;
  std::string incarnation;
  v1::NodeState state = v1::NODE_STATE_READY;
  // Stream it talks on; 0 when there is none.
  uint64_t stream = 0;
  absl::Time last_seen_wall;
  // Monotonic.
  absl::Duration last_seen;
  // Newest revision of its desired state, and the newest it acted upon.
  int64_t revision = 0;
  int64_t observed = 0;
  v1::DesiredState desired;
  // Jobs whose live gang has ranks here.
  std::set<std::string> jobs;
  // Processes it runs that belong to no live gang: they hold slots until it has killed them.
  int foreign_ranks = 0;
  // Its worker was asked to stop.
  bool draining = false;
  std::optional<v1::Quarantine> quarantine;
  // Oldest first.
  std::vector<v1::NodeFault> faults;
  // Given no ranks until it is uncordoned.
  bool cordoned = false;
  std::string cordon_reason;
  // In order of their starts.
  std::vector<v1::MaintenanceWindow> maintenance;
  // One of them is there, or near.
  bool in_maintenance = false;
};

// Queues, indices and figures at its end are derived, and kept in step by Turn::Finish.
struct State {
  int64_t epoch = 0;
  int64_t last_revision = 0;
  int64_t last_number = 0;
  // In the store (StoredNumbers).
  int64_t stored_number = 0;
  std::map<std::string, Job> jobs;
  std::map<int64_t, std::string> ids_by_number;
  std::map<std::string, std::string> ids_by_uid;
  std::set<std::string> queued;
  // Jobs with a live gang.
  std::set<std::string> active;
  // Jobs that have ended and are not sealed yet, in order of their ends.
  std::deque<std::string> ended;
  JobIndex index;
  // Jobs that have not ended, by those that they wait for.
  std::map<std::string, std::set<std::string>> dependents;
  // Jobs that have not ended and start from a checkpoint of another (meta.load_checkpoint).
  std::set<std::string> starters;
  // Jobs in history by state, as far as the core was told (Core::Restore) or sealed them itself.
  std::map<v1::JobState, int64_t> sealed_by_state;
  // Jobs of history that commands of the present batch refer to; changed by these, then given back.
  std::map<std::string, v1::SealedJob> lent;
  // Monotonic; when history was last told to forget.
  absl::Duration last_forgetting = -absl::InfiniteDuration();
  std::map<std::string, Node> nodes;
  std::map<uint64_t, std::string> nodes_by_stream;
  // Nodes whose worker was started for an attempt, by the uid of the job.
  std::map<std::string, std::set<std::string>> bound;
  // By id.
  std::map<std::string, v1::StoredToken> tokens;
  // By request id, for request_id_lifetime. The cursor: which was looked at last.
  std::map<std::string, v1::StoredRequest> requests;
  std::string request_cursor;
  // Something changed that may let a queued job start, or changes why it waits.
  bool schedule_needed = false;
  // Monotonic. Of the newest pass over queued jobs, and tick; infinite past before the first.
  absl::Duration last_pass = -absl::InfiniteDuration();
  absl::Duration last_tick = -absl::InfiniteDuration();
  // Jobs with live_change.
  std::set<std::string> live;
  // By queue. Without what live gangs used since its time.
  std::map<std::string, QueueUsage> usage;
  ClusterIndex cluster;
  WaitingJobs waiting;
  OutsideJobs outside;
  RunningGangs running;
  // Groups of `waiting` with jobs that have not been told of a new reason.
  std::set<std::string> stale_groups;
  SchedulerFigures figures;
};

// Watchers of the job are told with the next tick.
void MarkLive(State& state, Job& job);

// Takes a whole name, or an id alone, of any project (names.h). Null if there is no such job.
const Job* FindJob(const State& state, absl::string_view name);
const Job* FindJobByUid(const State& state, const std::string& uid);

// Slots of a node held by live gangs or by processes that are still to be killed.
int SlotsUsed(const State& state, const Node& node);
// True if the node is heard.
bool IsUsable(const Node& node);
// True if the node may be given ranks now.
bool MayStart(const Node& node);
// What clients see of a node.
v1::Node DescribeNode(const State& state, const std::string& name, const Node& node);

// Step of the newest committed checkpoint; 0 when there is none.
int64_t CommittedStep(const Job& job);
// Ranks of a gang on a node, rising.
std::vector<int> RanksOn(const Gang& gang, const std::string& node);
// Restarts the clock by which each rank's progress is judged.
void ForgiveRanks(Gang& gang, absl::Duration now);
// Nodes of a gang.
std::set<std::string> NodesOf(const Gang& gang);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_STATE_H_
