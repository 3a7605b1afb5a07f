// Which shard's masks a rank draws, saves and restores.
#include "worker/jepa/mask_streams.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

std::string StateKey(int shard) { return absl::StrCat("mask_state/", shard); }

}  // namespace

std::vector<int> LocalShards(const TrainConfig& config) {
  std::vector<int> shards(static_cast<size_t>(config.shards / config.world_size));
  std::iota(shards.begin(), shards.end(), config.rank * (config.shards / config.world_size));
  return shards;
}

MaskStreams::MaskStreams(const TrainConfig& config, int64_t first_step)
    : batch_size_(config.data.batch_size), local_(LocalShards(config)) {
  const MaskGrid grid{config.model.grid_height, config.model.grid_width};
  for (int shard = 0; shard < config.shards; ++shard) {
    if (config.mask.balance) {
      balanced_.emplace_back(config.mask, grid, config.seed, shard);
      continue;
    }
    const bool is_local = std::find(local_.begin(), local_.end(), shard) != local_.end();
    if (!is_local && config.mask.mode != MaskMode::kReference) continue;
    streams_.push_back(
        {shard, is_local, NewMaskSampler(config.mask, grid, config.seed, shard, first_step)});
  }
}

absl::StatusOr<std::vector<MaskBatch>> MaskStreams::Sample(int64_t step) {
  if (!balanced_.empty()) return SampleAhead(step);
  std::vector<MaskBatch> local;
  for (Stream& stream : streams_) {
    IJEPA_ASSIGN_OR_RETURN(MaskBatch masks, stream.sampler->Sample(step, batch_size_));
    if (stream.local) local.push_back(std::move(masks));
  }
  return local;
}

MaskStreams::Masks MaskStreams::SampleAhead(int64_t step) {
  const auto draw = [this](int64_t which) {
    return std::async(std::launch::async,
                      [which, shards = balanced_, local = local_, batch = batch_size_] {
                        return SampleBalanced(shards, local, which, batch);
                      });
  };
  if (ahead_step_ != step) ahead_ = draw(step);
  Masks masks = ahead_.get();
  ahead_step_ = step + 1;
  ahead_ = draw(ahead_step_);
  return masks;
}

void MaskStreams::SaveTo(std::map<std::string, std::string>& values) const {
  for (const Stream& stream : streams_) {
    const std::string state = stream.sampler->State();
    if (!state.empty()) values[StateKey(stream.shard)] = absl::Base64Escape(state);
  }
}

absl::Status MaskStreams::RestoreFrom(const std::map<std::string, std::string>& values) {
  for (Stream& stream : streams_) {
    if (stream.sampler->State().empty()) continue;  // Counter-based: no history.
    const std::string key = StateKey(stream.shard);
    const auto found = values.find(key);
    std::string state;
    if (found == values.end() || !absl::Base64Unescape(found->second, &state)) {
      return absl::DataLossError(
          absl::StrCat("value ", key, found == values.end() ? " is missing" : " is not base64"));
    }
    IJEPA_RETURN_IF_ERROR(stream.sampler->RestoreState(state));
  }
  return absl::OkStatus();
}

}  // namespace jepa
