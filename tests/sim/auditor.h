// Checks what must hold after every step of a run: I1 to I9 of docs/ARCHITECTURE.md, against the
// truth of the simulated world and not only against the core's own books.
#ifndef IJEPA_TESTS_SIM_AUDITOR_H_
#define IJEPA_TESTS_SIM_AUDITOR_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/options.h"
#include "sim_coordinator.h"
#include "sim_node.h"

namespace ijepa::sim {

class Auditor {
 public:
  using Nodes = std::vector<std::unique_ptr<SimNode>>;

  Auditor(const EventQueue& events, const coordinator::CoreOptions& options, const Nodes& nodes)
      : events_(events), options_(options), nodes_(nodes) {}

  // A submit was acknowledged.
  void Acknowledged(const std::string& request_id, const v1::Job& job);
  // The coordinator takes this.
  void Taken(const SimCoordinator& coordinator, const coordinator::Command& command);
  // The coordinator let a message out.
  void Sent(const SimCoordinator& coordinator, const std::string& node,
            const v1::CoordinatorMessage& message);
  // A batch is durable, or the state was read from the store.
  void Check(const SimCoordinator& coordinator);
  // At the end of a run.
  void CheckEnd(const SimCoordinator& coordinator);

  void Violated(std::string what);
  // The first thing that was wrong; empty: nothing.
  const std::string& violation() const { return violation_; }

 private:
  // What is known of a job for good.
  struct Seen {
    v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
    absl::Duration since;
    int64_t generation = 0;
    int64_t committed = 0;
    int64_t rollback_sequence = 0;
    size_t ended_attempts = 0;
    // Of a terminal job.
    std::string sealed;
  };
  struct Slots {
    int live = 0;
    int ranks = 0;
  };

  void CheckSubmits(const coordinator::State& state);
  void CheckJob(const SimCoordinator& coordinator, const coordinator::Job& job);
  void CheckCheckpoints(const coordinator::Job& job, Seen& seen);
  void CheckAttempts(const coordinator::Job& job, Seen& seen);
  void CheckGang(const coordinator::Job& job);
  void CheckDeadline(const SimCoordinator& coordinator, const coordinator::Job& job,
                     const Seen& seen);
  void CheckSlots(const coordinator::State& state);
  void CheckIndexes(const coordinator::State& state);
  void CheckNodes(const SimCoordinator& coordinator);
  void CheckLoss(const SimCoordinator& coordinator, const std::string& node, v1::NodeState state);
  void CheckZombies(const SimCoordinator& coordinator, SimNode& node);
  void CheckIdle(const SimCoordinator& coordinator);

  const EventQueue& events_;
  const coordinator::CoreOptions& options_;
  const Nodes& nodes_;
  std::map<std::string, std::string> acknowledged_;
  std::map<std::string, Seen> jobs_;
  std::map<std::string, int64_t> revisions_;
  std::map<std::string, int64_t> acknowledged_steps_;
  std::map<RankKey, absl::Duration> zombies_;
  // The node's last hello or report that the coordinator took, and how long that had stood still
  // until then.
  struct Heard {
    absl::Duration time;
    absl::Duration stood_still;
  };
  std::map<std::string, Heard> heard_;
  std::map<std::string, v1::NodeState> node_states_;
  std::map<uint64_t, std::string> nodes_by_stream_;
  absl::Duration idle_since_ = absl::InfiniteDuration();
  std::string violation_;
};

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_AUDITOR_H_
