// A keyed permutation of [0, n) without storing it: a balanced Feistel network over the next even
// number of bits, walked along its cycle until it lands inside.
#include "worker/jepa/data/sample_order.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/jepa/plan/random.h"
#include "worker/jepa/plan/torch_generator.h"

namespace jepa {
namespace {

constexpr int kRounds = 8;

// splitmix64's finaliser (Steele et al., OOPSLA'14): every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Half the bits of the smallest even-sized domain that holds n values.
int HalfBits(uint64_t n) {
  int half = 1;
  while (2 * half < 63 && (uint64_t{1} << (2 * half)) < n) ++half;
  return half;
}

}  // namespace

int64_t SampleAt(uint64_t seed, int64_t epoch, int64_t position, int64_t n) {
  IJEPA_CHECK(position >= 0 && position < n);
  if (n == 1) return 0;
  Philox random(seed, Purpose::kOrder, static_cast<uint64_t>(epoch), 0);
  uint64_t key[2];
  for (uint64_t& word : key) {
    const uint64_t high = random.Next();
    word = (high << 32) | random.Next();
  }
  const int half = HalfBits(static_cast<uint64_t>(n));
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t value = static_cast<uint64_t>(position);
  do {
    uint64_t left = value >> half;
    uint64_t right = value & mask;
    for (int round = 0; round < kRounds; ++round) {
      // The top bits of the mix are its best.
      const uint64_t mixed = Mix(Mix(right + key[0]) + key[1] + static_cast<uint64_t>(round));
      const uint64_t next = left ^ (mixed >> (64 - half));
      left = right;
      right = next;
    }
    value = (left << half) | right;
  } while (value >= static_cast<uint64_t>(n));
  return static_cast<int64_t>(value);
}

std::vector<uint32_t> TorchPermutation(uint64_t seed, int64_t n) {
  IJEPA_CHECK(n >= 0 && n <= kMaxReferenceImages);
  std::vector<uint32_t> permutation(static_cast<size_t>(n));
  std::iota(permutation.begin(), permutation.end(), 0u);
  TorchGenerator generator(seed);
  for (size_t i = 0; i + 1 < permutation.size(); ++i) {
    const size_t other = i + generator.Next() % (permutation.size() - i);
    std::swap(permutation[i], permutation[other]);
  }
  return permutation;
}

absl::Status CheckOrder(OrderMode mode, int64_t images) {
  if (mode != OrderMode::kReference || images <= kMaxReferenceImages) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("data.rng is reference, which orders at most ",
                                                 kMaxReferenceImages, " images, and the data has ",
                                                 images, "; set data.rng to philox"));
}

int64_t SampleOrder::At(int64_t epoch, int64_t position) const {
  position %= n_;
  if (mode_ == OrderMode::kKeyed) return SampleAt(seed_, epoch, position, n_);
  const std::lock_guard<std::mutex> lock(mutex_);
  Stored& stored = stored_[epoch % 2];
  if (stored.epoch != epoch) {
    stored.permutation = TorchPermutation(static_cast<uint64_t>(epoch), n_);
    stored.epoch = epoch;
  }
  return stored.permutation[static_cast<size_t>(position)];
}

}  // namespace jepa
