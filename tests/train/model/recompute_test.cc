// Activation checkpointing gives the bits of the plain pass.
#include "worker/jepa/model/recompute.h"

#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "tests/train/model/spec_fixture.h"

namespace jepa {
namespace {

using testing::FillFixture;
using testing::FixtureMasks;
using testing::FixtureModel;
using testing::FixturePatches;

struct StepResult {
  at::Tensor loss;
  at::Tensor gradient;
};

StepResult RunStep(const ModelConfig& model, Precision precision, bool checkpointing) {
  Networks networks(model, at::kCPU, precision);
  networks.SetActivationCheckpointing(checkpointing);
  FillFixture(&networks);
  const StepRows rows = MakeStepRows(FixtureMasks(2), 2, 16, at::kCPU);
  const at::Tensor loss = networks.Loss(FixturePatches(), rows);
  loss.backward();
  return {loss.detach(), networks.storage().grad};
}

TEST(RecomputeTest, LossAndGradientsAreThoseOfThePlainPassBitForBit) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const int depth : {1, 3}) {
      ModelConfig model = FixtureModel();
      model.pred_depth = depth;
      const StepResult plain = RunStep(model, precision, false);
      const StepResult again = RunStep(model, precision, true);
      EXPECT_TRUE(again.loss.equal(plain.loss)) << depth;
      EXPECT_TRUE(again.gradient.equal(plain.gradient)) << depth;
      EXPECT_GT(plain.gradient.abs().max().item<double>(), 1e-3);
    }
  }
}

TEST(RecomputeTest, RunsThePartTwiceAndKeepsNothingOfItBetween) {
  int runs = 0;
  at::Tensor inside;
  const NetworkPart part = [&](const at::Tensor& x, const at::Tensor& y) {
    ++runs;
    const at::Tensor product = x.mul(y);
    inside = product;
    return product.sin();
  };
  at::Tensor x = at::randn({5}).set_requires_grad(true);
  at::Tensor y = at::randn({5}).set_requires_grad(true);
  const at::Tensor out = Recomputed(part, x, y).sum();
  EXPECT_EQ(runs, 1);
  // Besides this test nothing holds the product of the first run.
  EXPECT_EQ(inside.use_count(), 1);
  out.backward();
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(x.grad().allclose(x.mul(y).cos().mul(y)));
  EXPECT_TRUE(y.grad().allclose(x.mul(y).cos().mul(x)));
}

}  // namespace
}  // namespace jepa
