// A node of a run: an honest small worker with its ranks. It reconciles with the worker's own
// function, keeps what ranks wait for until it is answered, and says it again on every new stream.
#ifndef IJEPA_TESTS_SIM_SIM_NODE_H_
#define IJEPA_TESTS_SIM_SIM_NODE_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "coordinator/core/command.h"
#include "event_queue.h"
#include "sim_random.h"
#include "worker/daemon/reconcile.h"

namespace ijepa::sim {

using worker::RankKey;

// One process. It outlives its worker, but not its node.
struct SimRank {
  RankKey key;
  v1::RankLaunch launch;
  int slot = -1;
  // Of this process; a timer of another does nothing.
  uint64_t pid = 0;
  // Loaded, met its peers and steps with them.
  bool training = false;
  bool hung = false;
  int64_t step = 0;
  bool exited = false;
  v1::RankExit exit;
  bool exit_reported = false;
  std::optional<v1::Drain> drain;
  bool stacks_asked = false;
  bool stacks_collected = false;
  bool killed = false;
  // Not answered yet, by sequence.
  std::map<int64_t, v1::FromRank> unanswered;
  int64_t last_sequence = 0;
};

class SimNode {
 public:
  // What the rest of the run does for a node.
  struct World {
    EventQueue& events;
    SimRandom& random;
    absl::Duration heartbeat;
    absl::Duration reattach_window;
    absl::Duration drain_time;
    // Wall time.
    std::function<absl::Time()> wall;
    // True if the coordinator can be reached from the node.
    std::function<bool()> reachable;
    std::function<void(coordinator::Command)> post;
    // A number never used before.
    std::function<uint64_t()> fresh;
    // A rank process began, got an answer, or ended.
    std::function<void(SimNode&, SimRank&)> started;
    std::function<void(SimNode&, SimRank&, const v1::ToRank&)> told;
    std::function<void(SimNode&, SimRank&)> ended;
  };

  SimNode(std::string name, int slots, World& world);

  const std::string& name() const { return name_; }
  int slots() const { return slots_; }
  std::map<RankKey, SimRank>& ranks() { return ranks_; }
  bool powered() const { return powered_; }
  bool worker_up() const { return worker_up_; }
  bool draining() const { return drain_deadline_.has_value(); }
  bool connected() const { return stream_ != 0 && welcomed_; }
  // Since when it is heard without a break; InfiniteFuture when it is not.
  absl::Duration heard_since() const { return heard_since_; }
  bool partitioned = false;
  // Where it is.
  std::map<std::string, std::string> labels;

  // The machine: all that runs on it goes with it.
  void PowerOn();
  void PowerOff();
  // The worker alone; its ranks go on.
  void StartWorker();
  void KillWorker();
  // SIGTERM: its ranks save and stop, then the worker ends.
  void DrainWorker();

  // The stream breaks; what was on its way is lost, or comes late.
  void BreakStream();
  // What the coordinator sends on `stream`.
  void Deliver(uint64_t stream, const v1::CoordinatorMessage& message);
  // The coordinator ends `stream`, or dies.
  void StreamEnded(uint64_t stream);
  void AllStreamsEnded();
  bool HasStream(uint64_t stream) const { return wires_.count(stream) > 0; }

  // A rank says something; with a sequence if it wants an answer.
  void FromRank(SimRank& rank, v1::FromRank message, bool wants_answer);
  void EndRank(SimRank& rank, v1::RankExit exit);
  // Ranks with a process.
  int Running() const;

 private:
  struct Wire {
    absl::Duration last_up;
    absl::Duration last_down;
    bool up_open = true;
    bool down_open = true;
  };

  void Connect();
  void ConnectSoon();
  void Lost();
  void SendUp(coordinator::Command command);
  void PassOn(const SimRank& rank, const v1::FromRank& message);
  void Take(const v1::CoordinatorMessage& message);
  void Reconcile();
  void StartRank(const RankKey& key, int slot);
  void AddUnstarted(const RankKey& key);
  v1::DesiredState Wanted() const;
  v1::NodeReport MakeReport() const;
  void ReportSoon();
  void Beat(uint64_t life);
  absl::Duration Latency();

  const std::string name_;
  const int slots_;
  World& world_;
  bool powered_ = false;
  bool worker_up_ = false;
  // Of the worker process.
  uint64_t life_ = 0;
  int boots_ = 0;
  uint64_t stream_ = 0;
  bool welcomed_ = false;
  bool connect_scheduled_ = false;
  bool report_scheduled_ = false;
  std::map<uint64_t, Wire> wires_;
  int64_t epoch_seen_ = 0;
  std::optional<v1::DesiredState> desired_;
  int64_t observed_ = 0;
  std::optional<absl::Time> drain_deadline_;
  absl::Duration last_heard_;
  absl::Duration heard_since_ = absl::InfiniteDuration();
  std::map<RankKey, SimRank> ranks_;
};

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIM_NODE_H_
