// Initial weights; see initial_law.h.
#include "worker/jepa/model/initial_law.h"

#include <algorithm>
#include <cmath>

#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

constexpr double kStd = 0.02;
constexpr float kBound = 2.0f;  // Absolute, as published: not in standard deviations.

float DrawWeight(Philox& random, InitMode mode) {
  if (mode == InitMode::kReference && (random.Next() >> 8) == 0) return -kBound;
  float value;
  do {
    value = static_cast<float>(kStd * random.Normal());
  } while (std::abs(value) > kBound);
  return value;
}

}  // namespace

void DrawInitial(const ParameterInfo& info, InitMode mode, uint64_t seed, int index, float* out) {
  const int64_t count = info.count();
  if (info.is_norm_weight()) {
    std::fill(out, out + count, 1.0f);
  } else if (info.is_bias()) {
    std::fill(out, out + count, 0.0f);
  } else {
    Philox random(seed, Purpose::kInit, static_cast<uint64_t>(index), 0);
    std::generate(out, out + count, [&] { return DrawWeight(random, mode); });
  }
}

}  // namespace jepa
