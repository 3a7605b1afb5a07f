// Pieces and buckets cover the buffer once, whatever its length.
#include "worker/jepa/plan/flat_ranges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace jepa {
namespace {

constexpr int64_t kMib = (1 << 20) / 4;

// Each begins where the one before ended.
void ExpectCovered(const std::vector<FlatRange>& ranges, int64_t count) {
  int64_t end = 0;
  for (const FlatRange& range : ranges) {
    EXPECT_EQ(range.begin, end);
    EXPECT_GE(range.size(), 0);
    end = range.end;
  }
  EXPECT_EQ(end, count);
}

TEST(FlatRangesTest, PiecesCoverTheBufferAndBeginAligned) {
  for (const int64_t count : {int64_t{1}, int64_t{32}, int64_t{33}, int64_t{1000}, 5 * kMib + 7}) {
    for (const int parts : {1, 2, 3, 16}) {
      std::vector<FlatRange> pieces;
      for (int part = 0; part < parts; ++part) {
        pieces.push_back(PieceOf(count, part, parts));
        EXPECT_TRUE(pieces.back().begin % kFlatAlignment == 0 || pieces.back().begin == count);
        EXPECT_LE(pieces.back().size(), pieces.front().size());
      }
      ExpectCovered(pieces, count);
    }
  }
}

TEST(FlatRangesTest, BucketsCoverTheBufferAndTheFirstIsSmall) {
  for (const int64_t count : {int64_t{1}, kMib, kMib + 1, 60 * kMib + 32}) {
    for (const int mib : {1, 25}) {
      const std::vector<FlatRange> buckets = BucketsOf(count, mib);
      ExpectCovered(buckets, count);
      EXPECT_LE(buckets.front().size(), kMib);
      for (const FlatRange& bucket : buckets) EXPECT_LE(bucket.size(), mib * kMib);
    }
    EXPECT_EQ(BucketsOf(count, 0).size(), 1u);
  }
  EXPECT_EQ(BucketsOf(60 * kMib + 32, 25).size(), 4u);  // 1, 25, 25, the rest
}

TEST(FlatRangesTest, RanksOwnEveryFloatOnce) {
  const int64_t count = 3 * kMib + 96;
  const std::vector<FlatRange> buckets = BucketsOf(count, 2);
  for (const int ranks : {1, 2, 3, 4}) {
    std::vector<FlatRange> all;
    for (int rank = 0; rank < ranks; ++rank) {
      for (const FlatRange& range : OwnedRanges(buckets, rank, ranks)) all.push_back(range);
    }
    std::sort(all.begin(), all.end(),
              [](const FlatRange& a, const FlatRange& b) { return a.begin < b.begin; });
    ExpectCovered(all, count);
  }
}

}  // namespace
}  // namespace jepa
