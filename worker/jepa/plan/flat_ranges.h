// How the flat buffers of a learner are cut: into pieces, one per rank, and into buckets, which are
// summed over ranks one after the other. Every rank of a job cuts alike.
#ifndef IJEPA_WORKER_JEPA_PLAN_FLAT_RANGES_H_
#define IJEPA_WORKER_JEPA_PLAN_FLAT_RANGES_H_

#include <cstdint>
#include <vector>

namespace jepa {

// A half-open range of floats of a flat buffer.
struct FlatRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// Cuts begin at multiples of this many floats: 128 bytes, a cache line pair, a CUDA transaction.
inline constexpr int64_t kFlatAlignment = 32;

// Piece `part` of [0, count) cut into `parts` pieces of one size, a multiple of kFlatAlignment; the
// last ones are shorter or empty.
FlatRange PieceOf(int64_t count, int part, int parts);

// [0, count) in buckets of `mib` MiB, the last one shorter and the first one at most 1 MiB, so that
// summing begins early in the backward pass. `mib` 0: one bucket.
std::vector<FlatRange> BucketsOf(int64_t count, int mib);

// What rank `rank` of `ranks` owns of [0, count) under ZeRO-1: its piece of every bucket,
// ascending, empty ones left out.
std::vector<FlatRange> OwnedRanges(const std::vector<FlatRange>& buckets, int rank, int ranks);

// What two ranges share; of size 0 or less if nothing.
FlatRange Overlap(FlatRange a, FlatRange b);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_FLAT_RANGES_H_
