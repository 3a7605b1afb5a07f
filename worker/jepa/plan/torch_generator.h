// The random numbers of torch's CPU generator (torch.manual_seed), for what must equal published
// runs draw for draw. New code uses Philox.
#ifndef IJEPA_WORKER_JEPA_PLAN_TORCH_GENERATOR_H_
#define IJEPA_WORKER_JEPA_PLAN_TORCH_GENERATOR_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace jepa {

// mt19937 (Matsumoto and Nishimura, 1998) with torch's conversions. Copyable value;
// thread-compatible.
class TorchGenerator {
 public:
  // As torch.manual_seed(seed): the engine uses the low 32 bits.
  explicit TorchGenerator(uint64_t seed);
  uint32_t Next();
  // torch.rand(1) in fp32: 24 bits, in [0, 1).
  float Rand();
  // torch.randint(0, bound, (1,)): modulo, of 64 bits from 2^28 on. bound >= 1.
  uint64_t RandInt(uint64_t bound);

  // The whole state, little-endian words.
  std::string State() const;
  // Returns DataLoss if `state` is not one of State's.
  static absl::StatusOr<TorchGenerator> FromState(absl::string_view state);

 private:
  static constexpr uint32_t kWords = 624;
  void Twist();

  std::array<uint32_t, kWords> words_;
  uint32_t used_ = kWords;  // 0 <= used_ <= kWords
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_TORCH_GENERATOR_H_
