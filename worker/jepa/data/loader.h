// Batches in the order of the job, decoded and cropped by threads ahead of the trainer.
//
// What sample k of an epoch is, and how it is cropped, depends on (seed, epoch, k) alone: any
// number of threads, any number of ranks and any restart give the same bytes.
#ifndef IJEPA_WORKER_JEPA_DATA_LOADER_H_
#define IJEPA_WORKER_JEPA_DATA_LOADER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Images of one shard and step: uint8, [B, 3, crop, crop], planar RGB. Not normalised: the device
// does that.
struct Batch {
  int64_t step = 0;
  int shard = 0;
  int images = 0;
  std::vector<uint8_t> pixels;
};

struct LoaderStats {
  int64_t bad_images = 0;  // Replaced because they could not be read or decoded.
  absl::Duration wait;     // Time Next has waited for data.
};

struct LoaderOptions {
  DataConfig data;
  uint64_t seed = 0;
  int shards = 1;  // Of the whole job.
  std::vector<int>
      local_shards;  // Those of this rank; each step yields one batch per entry, in this order.
  int64_t first_step = 0;
  int64_t last_step = 0;  // Exclusive.
  int64_t steps_per_epoch = 1;
  ijepa::Clock* clock = nullptr;  // For the wait and its deadline; null: the machine's.
};

// Not thread-safe: one consumer. Owns its decoding threads and joins them on destruction, which
// waits for the files being read.
class Loader {
 public:
  virtual ~Loader() = default;
  // The next batch. An image that cannot be read or decoded is replaced by another one drawn from
  // (seed, epoch, k), counted, and the first 20 are told to host.Note("BAD_IMAGE"). Returns
  // DataLoss once more than max_bad_fraction of the images seen (and more than 10) were bad,
  // OutOfRange after the last step, DeadlineExceeded if nothing comes for 120 s (storage that
  // hangs), naming the file that is being read.
  virtual absl::StatusOr<Batch> Next() = 0;
  // Gives the memory of a consumed batch back for the next one.
  virtual void Recycle(Batch batch) = 0;
  virtual LoaderStats stats() const = 0;
};

// `source` and `host` must outlive the loader.
std::unique_ptr<Loader> NewLoader(const LoaderOptions& options, const ImageSource& source,
                                  RunHost& host);

// The sample order: a keyed bijection on [0, n) per (seed, epoch), computed in O(1), not stored.
// Requires 0 <= position < n.
int64_t SampleAt(uint64_t seed, int64_t epoch, int64_t position, int64_t n);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_LOADER_H_
