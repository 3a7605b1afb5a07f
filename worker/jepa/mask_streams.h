// The mask samplers of a rank: one stream per shard.
#ifndef IJEPA_WORKER_JEPA_MASK_STREAMS_H_
#define IJEPA_WORKER_JEPA_MASK_STREAMS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

// The shards that rank `config.rank` computes, ascending: a contiguous run of shards / world_size.
std::vector<int> LocalShards(const TrainConfig& config);

// Draws for the local shards. In `reference` mode a stream has a history, so every rank draws those
// of all shards (microseconds) and any rank can save them all. Thread-compatible.
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
  struct Stream {
    int shard = 0;
    bool local = false;
    std::unique_ptr<MaskSampler> sampler;
  };

  int batch_size_;
  std::vector<Stream> streams_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MASK_STREAMS_H_
