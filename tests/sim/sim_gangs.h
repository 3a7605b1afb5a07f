// The training of a run: ranks of one (job, generation) meet, step together, save to shared storage
// and stop together, or fail as real ones do. Knows nothing of the coordinator but its answers.
#ifndef IJEPA_TESTS_SIM_SIM_GANGS_H_
#define IJEPA_TESTS_SIM_SIM_GANGS_H_

#include <map>
#include <set>
#include <string>
#include <utility>

#include "sim_node.h"

namespace ijepa::sim {

class SimGangs {
 public:
  struct Options {
    absl::Duration step = absl::Milliseconds(500);
    // Steps between checkpoints.
    int checkpoint_every = 7;
    // A checkpoint that a rank cannot read back.
    double unreadable = 0.02;
  };

  SimGangs(EventQueue& events, SimRandom& random, Options options)
      : events_(events), random_(random), options_(options) {}

  void Started(SimNode& node, SimRank& rank);
  void Told(SimNode& node, SimRank& rank, const v1::ToRank& message);
  void Ended(SimNode& node, SimRank& rank);

  // Ends or hangs one rank that lives. `how` is any number.
  void Break(SimNode& node, SimRank& rank, int how);

  // Folders on storage. Deleting is part of being told so.
  const std::set<std::string>& folders() const { return folders_; }

 private:
  // A rank may move away under a timer: found again by its key, and its process by its pid.
  struct Member {
    SimNode* node = nullptr;
    RankKey key;
    uint64_t pid = 0;
  };
  struct Gang {
    std::map<int, Member> ready;
    std::map<int, Member> members;
    int64_t step = 0;
    int64_t total = 0;
    bool stepping = false;
    // The last save; nothing follows it but the end.
    bool ending = false;
    v1::RankOutcome outcome = v1::RANK_OUTCOME_UNSPECIFIED;
    std::string last_folder;
    bool drain = false;
  };
  using GangId = std::pair<std::string, int64_t>;

  static GangId IdOf(const RankKey& key) { return {key.job_uid, key.generation}; }
  static SimRank* Find(const Member& member);
  void Load(const Member& member);
  void Resume(SimNode& node, SimRank& rank);
  void Meet(const Member& member);
  void ScheduleStep(const GangId& id);
  void Step(const GangId& id);
  bool Whole(const Gang& gang) const;
  void Say(const Member& member, v1::RunPhase phase);
  void Offer(const GangId& id, bool last);
  void Finish(const GangId& id);
  void LosePeer(const GangId& id);

  EventQueue& events_;
  SimRandom& random_;
  const Options options_;
  std::map<GangId, Gang> gangs_;
  std::set<std::string> folders_;
};

// The folder of a checkpoint: which job, which step, which generation wrote it.
std::string FolderOf(const std::string& uid, int64_t step, int64_t generation);
// The generation in the name of a folder; 0 if there is none.
int64_t GenerationOfFolder(const std::string& folder);

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIM_GANGS_H_
