// Key: one block that mixes (seed, purpose, a). Counter: b and the number of the block, so streams
// that differ in b alone can never meet.
#include "worker/jepa/plan/random.h"

#include <cmath>

#include "common/check.h"

namespace jepa {
namespace {

uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

std::array<uint32_t, 4> PhiloxBlock(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  // Multipliers and Weyl increments: Salmon et al., table 2 and section 4.3.
  constexpr uint64_t kMultiply0 = 0xD2511F53;
  constexpr uint64_t kMultiply1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9;
  constexpr uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiply0 * counter[0];
    const uint64_t product1 = kMultiply1 * counter[2];
    counter = {High(product1) ^ counter[1] ^ key[0], Low(product1),
               High(product0) ^ counter[3] ^ key[1], Low(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

Philox::Philox(uint64_t seed, Purpose purpose, uint64_t a, uint64_t b) : block_{} {
  const std::array<uint32_t, 4> mixed =
      PhiloxBlock({Low(a), High(a), static_cast<uint32_t>(purpose), 0}, {Low(seed), High(seed)});
  key_ = {mixed[0] ^ mixed[2], mixed[1] ^ mixed[3]};
  counter_ = {0, 0, Low(b), High(b)};
}

void Philox::Refill() {
  block_ = PhiloxBlock(counter_, key_);
  used_ = 0;
  if (++counter_[0] == 0) ++counter_[1];
}

uint32_t Philox::Next() {
  if (used_ == 4) Refill();
  return block_[used_++];
}

double Philox::Uniform() {
  const uint64_t high = Next() >> 5;  // 27 bits
  const uint64_t low = Next() >> 6;   // 26 bits
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

uint32_t Philox::Below(uint32_t bound) {
  IJEPA_CHECK(bound >= 1);
  // Lemire, "Fast random integer generation in an interval", 2019.
  uint64_t product = static_cast<uint64_t>(Next()) * bound;
  if (Low(product) < bound) {
    const uint32_t threshold = (0u - bound) % bound;
    while (Low(product) < threshold) product = static_cast<uint64_t>(Next()) * bound;
  }
  return High(product);
}

double Philox::Normal() {
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
  return radius * std::cos(2 * M_PI * Uniform());
}

}  // namespace jepa
