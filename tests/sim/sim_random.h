// One source of chance for a whole run: the same seed, the same run.
#ifndef IJEPA_TESTS_SIM_SIM_RANDOM_H_
#define IJEPA_TESTS_SIM_SIM_RANDOM_H_

#include <cstdint>

#include "absl/time/time.h"

namespace ijepa::sim {

// splitmix64 (Steele, Lea, Flood 2014).
class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  // In [0, below).
  int Below(int below) { return static_cast<int>(Next() % static_cast<uint64_t>(below)); }
  // In [low, high].
  int Within(int low, int high) { return low + Below(high - low + 1); }
  double Unit() { return static_cast<double>(Next() >> 11) / 9007199254740992.0; }  // 2^53
  bool Chance(double share) { return Unit() < share; }
  absl::Duration Within(absl::Duration low, absl::Duration high) {
    return low + Unit() * (high - low);
  }
  // Gaps of a process without memory.
  absl::Duration Gap(absl::Duration mean);

 private:
  uint64_t state_;
};

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIM_RANDOM_H_
