// From a place in the job (step, shard, image of the batch) to the pixels of that sample.
#ifndef IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_
#define IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/image_source.h"

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

// Makes views of samples. Thread-safe; `source` must outlive it.
class SampleViews {
 public:
  SampleViews(const DataConfig& data, uint64_t seed, const ImageSource& source)
      : data_(data), seed_(seed), source_(source) {}

  // The image that `sample` starts from, before any replacement.
  int64_t IndexOf(Sample sample) const;

  // Writes the view of `sample` to `planes`, [3, crop_size, crop_size]. For each image that could
  // not be read or decoded, and was replaced, appends a line to `bad`. Returns DataLoss if no
  // readable image was found in 100 draws.
  absl::Status Write(Sample sample, ViewTools& tools, uint8_t* planes,
                     std::vector<std::string>& bad) const;

 private:
  // Tries one image.
  absl::Status WriteImage(int64_t index, Sample sample, ViewTools& tools, uint8_t* planes) const;

  const DataConfig data_;
  const uint64_t seed_;
  const ImageSource& source_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SAMPLE_VIEW_H_
