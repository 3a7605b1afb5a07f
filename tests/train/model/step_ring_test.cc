// Results come in the order of their steps and are those of their time, whatever the device's
// memory holds when they are taken. On the host; cuda_step_test takes them from a GPU.
#include "worker/jepa/model/step_ring.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {
namespace {

// The memory that every step of a device writes anew.
struct DeviceMemory {
  at::Tensor scalars = at::zeros({kStepScalars});
  at::Tensor record = at::zeros({static_cast<int64_t>(sizeof(UpdateState))}, at::kByte);

  void Step(float loss, double norm, bool apply) {
    scalars.fill_(loss);
    const UpdateState state{.norm = norm, .apply = apply ? 1 : 0};
    std::memcpy(record.data_ptr(), &state, sizeof(state));
  }
};

TEST(StepRingTest, GivesEveryStepItsOwnResultInOrder) {
  DeviceMemory device;
  StepRing ring(at::kCPU);
  EXPECT_TRUE(ring.empty());
  for (int step = 0; step < 5 + kMaxResultsLeft; ++step) {
    if (step < 5) {
      device.Step(static_cast<float>(step), 10.0 * step, step % 2 == 0);
      ring.Put(device.scalars, device.record);
    }
    if (step < kMaxResultsLeft) continue;
    const int taken = step - kMaxResultsLeft;
    ASSERT_FALSE(ring.empty());
    const StepResult result = ring.Take();
    EXPECT_EQ(result.scalar(StepScalar::kSave), taken);
    EXPECT_EQ(result.gradient_norm, 10.0 * taken);
    EXPECT_EQ(result.updated, taken % 2 == 0);
  }
  EXPECT_TRUE(ring.empty());
}

TEST(StepRingDeathTest, RefusesMoreResultsThanItHolds) {
  DeviceMemory device;
  StepRing ring(at::kCPU);
  for (int step = 0; step <= kMaxResultsLeft; ++step) ring.Put(device.scalars, device.record);
  EXPECT_DEATH(ring.Put(device.scalars, device.record), "");
}

}  // namespace
}  // namespace jepa
