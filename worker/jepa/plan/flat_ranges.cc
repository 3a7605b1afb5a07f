// See flat_ranges.h.
#include "worker/jepa/plan/flat_ranges.h"

#include <algorithm>

namespace jepa {
namespace {

constexpr int64_t kFloatsPerMib = (1 << 20) / static_cast<int64_t>(sizeof(float));
constexpr int64_t kFirstBucket = kFloatsPerMib;

}  // namespace

FlatRange PieceOf(int64_t count, int part, int parts) {
  const int64_t even = (count + parts - 1) / parts;
  const int64_t size = (even + kFlatAlignment - 1) / kFlatAlignment * kFlatAlignment;
  return {std::min(count, part * size), std::min(count, (part + 1) * size)};
}

std::vector<FlatRange> BucketsOf(int64_t count, int mib) {
  if (mib == 0) return {{0, count}};
  const int64_t size = mib * kFloatsPerMib;
  std::vector<FlatRange> buckets;
  for (int64_t begin = 0; begin < count; begin = buckets.back().end) {
    const int64_t wanted = begin == 0 ? std::min(size, kFirstBucket) : size;
    buckets.push_back({begin, std::min(count, begin + wanted)});
  }
  return buckets;
}

std::vector<FlatRange> OwnedRanges(const std::vector<FlatRange>& buckets, int rank, int ranks) {
  std::vector<FlatRange> owned;
  for (const FlatRange& bucket : buckets) {
    const FlatRange piece = PieceOf(bucket.size(), rank, ranks);
    if (piece.size() > 0) owned.push_back({bucket.begin + piece.begin, bucket.begin + piece.end});
  }
  return owned;
}

FlatRange Overlap(FlatRange a, FlatRange b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

}  // namespace jepa
