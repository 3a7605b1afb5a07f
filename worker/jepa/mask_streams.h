// The mask samplers of a rank: one stream per shard.
#ifndef IJEPA_WORKER_JEPA_MASK_STREAMS_H_
#define IJEPA_WORKER_JEPA_MASK_STREAMS_H_

#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/plan/fixed_masks.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

// The shards that rank `config.rank` computes, ascending: a contiguous run of shards / world_size.
std::vector<int> LocalShards(const TrainConfig& config);

// Draws for the local shards. In `reference` mode a stream has a history, so every rank draws those
// of all shards (microseconds) and any rank can save them all. With mask.balance too, because the
// images of all shards are dealt out anew (fixed_masks.h): some 20 ms for 16 shards of 128 images
// on a 16 x 16 grid, so a thread of its own draws the next step beside the one that runs.
// Thread-compatible.
class MaskStreams {
 public:
  // Fresh streams that begin at `first_step`.
  explicit MaskStreams(const TrainConfig& config, int64_t first_step = 0);

  // The masks of step `step`, one entry per local shard in order. Errors as MaskSampler::Sample.
  absl::StatusOr<std::vector<MaskBatch>> Sample(int64_t step);
  // The streams' states as checkpoint values "mask_state/SHARD", base64; nothing in `fixed` mode.
  void SaveTo(std::map<std::string, std::string>& values) const;
  // Continues from what SaveTo wrote. Returns DataLoss if a state is missing or damaged.
  absl::Status RestoreFrom(const std::map<std::string, std::string>& values);

 private:
  using Masks = absl::StatusOr<std::vector<MaskBatch>>;

  Masks SampleAhead(int64_t step);

  struct Stream {
    int shard = 0;
    bool local = false;
    std::unique_ptr<MaskSampler> sampler;
  };

  int batch_size_;
  std::vector<int> local_;
  std::vector<Stream> streams_;             // Empty with mask.balance.
  std::vector<FixedMaskSampler> balanced_;  // All shards; else empty.
  int64_t ahead_step_ = -1;
  std::future<Masks> ahead_;  // Of ahead_step_, by a thread that this object's end waits for.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MASK_STREAMS_H_
