// A core with a memory store, a clock that is moved by hand, and nodes that obey: for tests of the
// core.
#ifndef IJEPA_TESTS_COORDINATOR_CORE_HARNESS_H_
#define IJEPA_TESTS_COORDINATOR_CORE_HARNESS_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/core.h"
#include "coordinator/store/memory_store.h"

namespace ijepa::coordinator {

// A spec with every field that the core reads.
v1::JobSpec SpecFor(const std::string& name, int ranks);

// Thread-compatible. Every Apply is committed before its effects count.
class CoreHarness {
 public:
  CoreHarness();

  // Applies, commits, schedules when needed, and keeps what was sent.
  void Do(const Command& command);
  // Moves both clocks; ticks every half second on the way.
  void Advance(absl::Duration duration);
  // Moves both clocks, then ticks once: a coordinator that stood still.
  void Jump(absl::Duration duration);
  // Moves both clocks, and nobody notices yet.
  void Skip(absl::Duration duration);
  // Forgets the core and restores it from the store as the next epoch.
  void Restart();

  absl::StatusOr<v1::Job> Create(CreateJob command);
  // Submits and returns the id, which is the name.
  std::string Submit(const std::string& name, int ranks);
  absl::StatusOr<v1::Job> Cancel(const std::string& name);
  // Gives a command that is answered with a job.
  template <typename Answered>
  absl::StatusOr<v1::Job> Ask(Answered command) {
    const uint64_t token = command.token = next_token_++;
    Do(command);
    return replies_.at(token);
  }
  absl::StatusOr<v1::Job> Pin(const std::string& checkpoint, bool pinned);

  // Connects a worker, with what it runs.
  void Connect(const std::string& node, int slots, const std::string& incarnation = "boot-1");
  // Said of the node's CPU by every Connect that follows.
  void SetCpuFeatures(const std::string& node, std::vector<std::string> features);
  // Every Connect of the node that follows says that a backend started it for that attempt of the
  // job, on the machine `host`.
  void Bind(const std::string& node, const std::string& job, int64_t generation,
            const std::string& host);
  void Disconnect(const std::string& node);
  // Sends the node's report as it stands, having acted on the newest desired state: ranks no longer
  // wanted disappear, new ones appear in the given phase.
  void Obey(const std::string& node, v1::RankPhase phase = v1::RANK_PHASE_TRAINING);
  // Sends the node's report as it stands.
  void Report(const std::string& node);
  // Ends a rank in the node's report (not sent).
  void Exit(const std::string& node, const std::string& job, int rank, v1::RankExit exit);
  // The node's report lists nothing from now on (not sent).
  void ForgetRanks(const std::string& node) { nodes_[node].report.clear_ranks(); }
  void Complete(const std::string& node, const std::string& job);
  // The node's report, for what has no function here (not sent).
  v1::NodeReport& report(const std::string& node) { return nodes_[node].report; }
  absl::Status ReleaseNode(const std::string& node);
  absl::Status Cordon(const std::string& node, bool cordoned, const std::string& reason);
  // One window.
  absl::Status SetMaintenance(const std::string& node, absl::Time start, absl::Time end);
  // Obeys, and lets every rank of the job finish `step` steps.
  void RunTo(const std::string& job, int64_t step);

  // Sends a rank's message for the job's current generation and returns the answers to that node,
  // newest last.
  std::vector<v1::ToRank> FromRank(const std::string& job, int rank, v1::FromRank message);
  std::vector<v1::ToRank> FromRankOf(const std::string& job, int64_t generation, int rank,
                                     v1::FromRank message);
  v1::CommitResult Commit(const std::string& job, int64_t step, const std::string& path);

  const Job& job(const std::string& id) const { return *FindJob(core_->state(), id); }
  const State& state() const { return core_->state(); }
  v1::JobState state_of(const std::string& id) const { return job(id).state(); }
  bool HasEvent(const std::string& id, const std::string& code) const;
  // With those that were merged.
  int64_t CountEvents(const std::string& id, const std::string& code) const;
  // Newest desired state sent to the node.
  const v1::DesiredState& desired(const std::string& node) { return nodes_[node].desired; }
  const std::vector<Effect>& effects() const { return effects_; }
  MemoryStore& store() { return store_; }
  Now now() const { return now_; }
  CoreOptions& options() { return options_; }

 private:
  struct FakeNode {
    int slots = 0;
    std::vector<std::string> cpu_features;
    std::optional<v1::NodeAllocation> allocation;
    uint64_t stream = 0;
    v1::DesiredState desired;
    v1::NodeReport report;
    std::string incarnation;
    std::vector<v1::ToRank> answers;
  };
  void Release(Outcome outcome);
  std::string NodeOfStream(uint64_t stream) const;

  CoreOptions options_;
  Now now_;
  MemoryStore store_;
  std::unique_ptr<Core> core_;
  int64_t epoch_ = 1;
  uint64_t next_stream_ = 1;
  uint64_t next_token_ = 1;
  std::map<std::string, FakeNode> nodes_;
  std::map<uint64_t, absl::StatusOr<v1::Job>> replies_;
  std::vector<Effect> effects_;
};

v1::RankExit ExitOf(v1::RankOutcome outcome);
v1::RankExit KilledBy(int signal, absl::Time time);
v1::RankExit FailedWith(const std::string& code, const std::string& message, absl::Time time);

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_CORE_HARNESS_H_
