// From a place in the job (step, shard, image of the batch) to the pixels of that sample.
#ifndef IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_
#define IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/sample_order.h"

namespace jepa {

// Sample k of an epoch. k counts over all shards; it goes beyond the source where the last row of
// shards is filled up from the head, as a distributed sampler does.
struct Sample {
  int64_t epoch = 0;
  int64_t k = 0;
};

// Which sample is image `image` of `shard`'s batch at `step`: shard s takes s, s + shards, ...
struct SamplePlan {
  int shards = 1;
  int batch_size = 1;
  int64_t steps_per_epoch = 1;

  Sample At(int64_t step, int shard, int image) const {
    const int64_t within_shard = step % steps_per_epoch * batch_size + image;
    return {step / steps_per_epoch, within_shard * shards + shard};
  }
};

// One image that could not be used.
struct BadImage {
  BadReason reason = BadReason::kCorrupt;
  std::string line;  // Names it, and says why.
};

// Makes views of samples. Thread-safe; `source` must outlive it.
class SampleViews {
 public:
  SampleViews(const DataConfig& data, uint64_t seed, const ImageSource& source)
      : data_(data), seed_(seed), source_(source), order_(data.order, seed, source.size()) {}

  // Waits this long before a second and a third try of a file that is there and cannot be read.
  void set_retry_delay(absl::Duration delay) { retry_delay_ = delay; }
  // Measures reading by this clock, which must outlive it. Default: the machine's.
  void set_clock(ijepa::Clock& clock) { clock_ = &clock; }

  // The image that `sample` starts from, before any replacement.
  int64_t IndexOf(Sample sample) const;

  // Writes the view of `sample` to `planes`, [3, height, width] of data.crop_size. For each image
  // that could not be read or decoded, and was replaced, appends to `bad`. Returns DataLoss
  // if no readable image was found in 100 draws.
  absl::Status Write(Sample sample, ViewTools& tools, uint8_t* planes,
                     std::vector<BadImage>& bad) const;

 private:
  // Tries one image.
  absl::Status WriteImage(int64_t index, Sample sample, ViewTools& tools, uint8_t* planes,
                          BadReason& reason) const;

  const DataConfig data_;
  const uint64_t seed_;
  const ImageSource& source_;
  const SampleOrder order_;
  absl::Duration retry_delay_ = kRetryDelay;
  ijepa::Clock* clock_ = &ijepa::Clock::Real();
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_
