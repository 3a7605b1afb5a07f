// What a worker must do so that its ranks become those that the coordinator wants. A pure function
// of two states: a lost, late or repeated message does no harm.
#ifndef IJEPA_WORKER_DAEMON_RECONCILE_H_
#define IJEPA_WORKER_DAEMON_RECONCILE_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ijepa/v1/worker.pb.h"
#include "worker/daemon/rank_key.h"

namespace ijepa::worker {

// A rank that this worker knows.
struct ActualRank {
  RankKey key;
  // Slot it occupies; kept until its processes are gone.
  int slot = -1;
  // False once its processes are gone.
  bool running = false;
  // A drain was passed on to it.
  bool draining = false;
  // Its stacks were asked for.
  bool stacks_asked = false;
  // It was killed and is not gone yet.
  bool killed = false;
  // Its exit was reported and its log is stored: nothing of it is needed here. Only of exited
  // ranks.
  bool settled = false;
};

struct StartRank {
  RankKey key;
  int slot = -1;
};

struct DrainRank {
  RankKey key;
  v1::Drain drain;
};

struct KillRank {
  RankKey key;
  // Tell it first that a newer generation exists.
  bool superseded = false;
  std::string reason;
};

struct Actions {
  std::vector<StartRank> start;
  std::vector<DrainRank> drain;
  std::vector<KillRank> kill;
  // Write their stacks into their logs.
  std::vector<RankKey> collect_stacks;
  // Remove the rank's folder and stop to report it.
  std::vector<RankKey> forget;
  // Wanted with a drain and never started here: report it as drained without starting it.
  std::vector<RankKey> drain_unstarted;
};

// The actions that bring `actual` nearer to `desired`. A rank starts when a slot in [0, slots) is
// free and no other generation of its job runs here. A rank that exited is never started again: a
// new attempt has a new generation. `now` is wall time, for deadlines of drains.
Actions Reconcile(const v1::DesiredState& desired, const std::vector<ActualRank>& actual, int slots,
                  absl::Time now);

// What the rank is started with: its gang's launch of `desired`, and what tells it from the others.
v1::RankLaunch LaunchOf(const v1::DesiredState& desired, const RankKey& key, int slot);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_RECONCILE_H_
