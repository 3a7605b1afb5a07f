// Random numbers that depend on what they are for, not on who draws them or when.
#ifndef IJEPA_WORKER_JEPA_PLAN_RANDOM_H_
#define IJEPA_WORKER_JEPA_PLAN_RANDOM_H_

#include <array>
#include <cstdint>

namespace jepa {

// What a stream of numbers is for; the value is part of the key, so it never changes.
enum class Purpose : uint32_t {
  kOrder = 1,
  kCrop = 2,
  kMask = 3,
  kInit = 4,
  kProbe = 5,
  kScene = 6,
  kReplace = 7,
};

// One block of Philox4x32-10: the ten rounds, without any state.
std::array<uint32_t, 4> PhiloxBlock(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Philox4x32-10 (Salmon et al., SC'11): a counter-based generator. The stream of (seed, purpose, a,
// b) is the same on every thread, rank and restart. Copyable value; thread-compatible.
class Philox {
 public:
  // a and b identify the stream: (epoch, sample), (step, shard), ...
  Philox(uint64_t seed, Purpose purpose, uint64_t a, uint64_t b);
  // Uniform over all 32-bit values.
  uint32_t Next();
  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Uniform in [low, high).
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // Uniform in [0, bound), without modulo bias. bound >= 1.
  uint32_t Below(uint32_t bound);
  // Standard normal (Box-Muller).
  double Normal();

 private:
  void Refill();

  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_;
  int used_ = 4;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_RANDOM_H_
