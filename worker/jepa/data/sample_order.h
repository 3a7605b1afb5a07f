// Which image is sample k of an epoch.
#ifndef IJEPA_WORKER_JEPA_DATA_SAMPLE_ORDER_H_
#define IJEPA_WORKER_JEPA_DATA_SAMPLE_ORDER_H_

#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "worker/jepa/config.h"

namespace jepa {

// A keyed bijection on [0, n) per (seed, epoch), computed in O(1), not stored. Requires 0 <=
// position < n.
int64_t SampleAt(uint64_t seed, int64_t epoch, int64_t position, int64_t n);

// The permutation that torch.randperm(n) draws from a generator seeded with `seed`. Requires n <=
// kMaxReferenceImages.
std::vector<uint32_t> TorchPermutation(uint64_t seed, int64_t n);

// From there on torch draws 64 bits a step.
inline constexpr int64_t kMaxReferenceImages = 0xffffffffLL / 20;

// InvalidArgument, with the numbers, if `images` are too many for the order.
absl::Status CheckOrder(OrderMode mode, int64_t images);

// The order of a job. Thread-safe.
//
// kKeyed: SampleAt. kReference: what the original's DistributedSampler gives, torch.randperm seeded
// with the epoch alone (its seed is 0 whatever the job's); the last two epochs are kept, 4 bytes an
// image each, and an epoch costs O(n) once. ijepa-spec 4.
class SampleOrder {
 public:
  // n >= 1, and right by CheckOrder.
  SampleOrder(OrderMode mode, uint64_t seed, int64_t n) : mode_(mode), seed_(seed), n_(n) {}

  // Requires epoch >= 0 and position >= 0; positions from n on begin again at the head, as the
  // last row of ranks is filled up.
  int64_t At(int64_t epoch, int64_t position) const;

 private:
  struct Stored {
    int64_t epoch = -1;
    std::vector<uint32_t> permutation;
  };

  const OrderMode mode_;
  const uint64_t seed_;
  const int64_t n_;
  mutable std::mutex mutex_;  // Guards stored_.
  mutable Stored stored_[2];  // Of even and odd epochs: a loader runs over one end of an epoch.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SAMPLE_ORDER_H_
