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
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Images of one shard and step: [B, channels, height, width] of data.crop_size, values of
// data.bit_depth bits. Not normalised: the device does that.
struct Batch {
  int64_t step = 0;
  int shard = 0;
  int images = 0;
  std::vector<uint8_t> pixels;
};

// Since the start of the loader.
struct LoaderStats {
  int64_t bad_images = 0;  // Replaced because they could not be read or decoded.
  BadCounts bad_reasons{};
  absl::Duration wait;     // Time Next has waited for data.
  int64_t images = 0;      // Views made, those ahead of the consumer included.
  int64_t bytes_read = 0;  // Of files.
  absl::Duration work;     // Of all threads together, reading included.
  absl::Duration reading;  // Of these, reading alone.
  int ready_batches = 0;   // Complete and not yet taken, at the last Next.
  int max_batches = 0;     // That the ring holds.
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
  // Before a second and a third try of a file whose storage answers with an error.
  absl::Duration retry_delay = kRetryDelay;
};

// Not thread-safe: one consumer. Owns its decoding threads and joins them on destruction, which
// waits for the files being read: where storage hangs, for ever. After DeadlineExceeded of Next the
// process is to be left (RunHost::Leave), not unwound.
//
// Memory: batches of (3 x local_shards + 1) x batch_size x 3 x crop_size^2 bytes; and per thread
// twice the largest file met, and a few rows of the widest image (of a progressive JPEG or
// a PNG the whole image). It does not grow with the number of images.
class Loader {
 public:
  virtual ~Loader() = default;
  // The next batch. An image that cannot be read or decoded is replaced by another one drawn from
  // (seed, epoch, k), counted by reason, and the first 20 are told to host.Note("BAD_IMAGE").
  // Where nothing comes for 30 s, host.Note("DATA_STALLED") names the file that is being read.
  // Returns DataLoss once more than max_bad_fraction of the images seen (and more than 10) were
  // bad, OutOfRange after the last step, DeadlineExceeded if nothing comes for 120 s (storage that
  // hangs), naming the file.
  virtual absl::StatusOr<Batch> Next() = 0;
  // Gives the memory of a consumed batch back for the next one.
  virtual void Recycle(Batch batch) = 0;
  virtual LoaderStats stats() const = 0;
};

// `source` and `host` must outlive the loader.
std::unique_ptr<Loader> NewLoader(const LoaderOptions& options, const ImageSource& source,
                                  RunHost& host);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_LOADER_H_
