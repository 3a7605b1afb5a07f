// The learner is filled first; the position of the run follows from what was read.
#include "worker/jepa/start_run.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/dist/network_check.h"
#include "worker/jepa/exchange/start_state.h"
#include "worker/jepa/host_state.h"

namespace jepa {
namespace {

bool Says(const StateInfo& info, const std::string& key, absl::string_view value) {
  const auto found = info.values.find(key);
  return found != info.values.end() && found->second == value;
}

// Continues the source's own mask streams if they are those of this job.
absl::Status StartMasks(const TrainConfig& config, const StateInfo& info, int64_t step,
                        MaskStreams& masks) {
  masks = MaskStreams(config, step);
  const bool same_streams = info.step == step && info.values.count(kEpochKey) == 0 &&
                            Says(info, "seed", absl::StrCat(config.seed)) &&
                            Says(info, kWorldSizeKey, absl::StrCat(config.shards)) &&
                            info.values.count("mask_state/0") > 0;
  return same_streams ? masks.RestoreFrom(info.values) : absl::OkStatus();
}

std::string NoteOf(const StateInfo& info, int64_t step) {
  std::string note = absl::StrCat("started from ", info.path, " (", info.kind, ") at step ", step);
  if (!info.optimizer_step.has_value()) absl::StrAppend(&note, ", weights without moments");
  if (info.model.pred_depth == 0) absl::StrAppend(&note, ", predictor from random weights");
  for (const std::string& extra : info.notes) absl::StrAppend(&note, "; ", extra);
  return note;
}

// The numbers of all ranks, in their order; 0 <= mine < 2^44.
absl::StatusOr<std::vector<int64_t>> OfEveryRank(int64_t mine, Communicator& peers) {
  constexpr int64_t kHalf = 1 << 20;  // Halves that a float holds exactly.
  const float halves[2] = {static_cast<float>(mine / kHalf), static_cast<float>(mine % kHalf)};
  std::vector<float> all(2 * static_cast<size_t>(peers.world_size()));
  IJEPA_RETURN_IF_ERROR(peers.AllGather(halves, 2, all.data()));
  std::vector<int64_t> numbers;
  for (size_t rank = 0; rank < all.size() / 2; ++rank) {
    numbers.push_back(static_cast<int64_t>(all[2 * rank]) * kHalf +
                      static_cast<int64_t>(all[2 * rank + 1]));
  }
  return numbers;
}

}  // namespace

absl::StatusOr<RunStart> StartRun(const TrainConfig& config, const RunLength& length,
                                  const RunState& state) {
  IJEPA_ASSIGN_OR_RETURN(const std::string path,
                         FindStart(config.checkpoint.start_from, config.checkpoint.start_tag));
  IJEPA_ASSIGN_OR_RETURN(StartState start, StartState::Open(path, config.model));
  const int64_t step = start.FirstStep(length.steps_per_epoch);
  if (step >= length.total_steps) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is at step ", step, " of this job, which ends at step ",
                     length.total_steps, "; raise optimization.epochs"));
  }
  HostState initial;
  if (start.NeedsInitial()) {  // Borrowed until the learner has taken it.
    IJEPA_ASSIGN_OR_RETURN(initial, CopyWholeState(state.learner));
    start.KeepInitial(initial.tensors);
  }
  IJEPA_RETURN_IF_ERROR(state.learner.Restore(start));
  IJEPA_RETURN_IF_ERROR(StartMasks(config, start.info(), step, state.masks));
  return RunStart{step, NoteOf(start.info(), step)};
}

absl::StatusOr<std::unique_ptr<Communicator>> MeetPeers(const TrainConfig& config, RunHost& host,
                                                        absl::Duration timeout,
                                                        ijepa::Clock& clock) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> peers,
                         NewCommunicator(config, host, timeout));
  IJEPA_RETURN_IF_ERROR(CheckNetwork(config, *peers, host, clock));
  return peers;
}

absl::Status CheckSameImages(const TrainConfig& config, int64_t images, Communicator& peers) {
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> all, OfEveryRank(images, peers));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] == images) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(config.data.path, " has ", images, " images at rank ", config.rank, " and ",
                     all[rank], " at rank ", rank, "; every node must see the same data"));
  }
  return absl::OkStatus();
}

absl::Status CheckSameStart(const TrainConfig& config, int64_t step, Communicator& peers) {
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> all, OfEveryRank(step, peers));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] == step) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        config.checkpoint.start_from, " is at step ", step, " for rank ", config.rank, " and at ",
        all[rank], " for rank ", rank, "; every node must see the same files"));
  }
  return absl::OkStatus();
}

}  // namespace jepa
