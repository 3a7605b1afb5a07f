// Attention and linear layers of small CPU models against LibTorch's general operators: outputs and
// gradients.
#include "worker/jepa/model/attention.h"

#include <ATen/Context.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <vector>

#include "worker/jepa/model/cpu_attention.h"
#include "worker/jepa/model/linear.h"

namespace jepa {

// The code for CPUs without AVX2, which this machine's choice may leave unused.
namespace attention_generic {
void Forward(const PackedAttentionShape& shape, const PackedAttentionForward& io, float* scratch);
void Backward(const PackedAttentionShape& shape, const PackedAttentionBackward& io, float* scratch);
}  // namespace attention_generic

namespace {

double Distance(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).abs().max().item<double>();
}

struct Case {
  int64_t tokens;
  int64_t first_query;
  int heads;
  int head_dim;
};

// Odd counts, one token, more queries than one block of rows, widths of one and of several vectors.
constexpr Case kCases[] = {{1, 0, 2, 8},    {7, 0, 3, 24},   {16, 4, 4, 16},
                           {37, 25, 4, 16}, {64, 0, 4, 24},  {65, 0, 2, 32},
                           {131, 3, 1, 40}, {196, 0, 3, 64}, {256, 100, 2, 8}};

// Scores are of the order of ten: the rounding of two ways to sum them is seen in every weight. Of
// the largest gradient, 7.2e-6 is the most in 3,000 draws of each case.
constexpr double kGradientNoise = 2e-5;

TEST(AttentionTest, PackedRowsGiveTheOutputAndGradientOfSdpa) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    SCOPED_TRACE(::testing::Message() << c.tokens << " " << c.first_query << " " << c.head_dim);
    const Sequences shape{.count = 3, .tokens = c.tokens, .heads = c.heads};
    const int64_t width = c.heads * c.head_dim;
    at::Tensor packed = at::randn({3 * c.tokens, 3 * width}).mul(2);
    at::Tensor general = packed.clone();
    packed.requires_grad_();
    general.requires_grad_();
    const at::Tensor out = Attend(packed, shape, c.first_query);
    const at::Tensor expected = AttendBySdpa(general, shape, c.first_query);
    const at::Tensor grad = at::randn(out.sizes());
    out.backward(grad);
    expected.backward(grad);
    EXPECT_LT(Distance(out, expected), 1e-5);
    EXPECT_LT(Distance(packed.grad(), general.grad()),
              kGradientNoise * general.grad().abs().max().item<double>());
  }
}

TEST(AttentionTest, CodeForAnyCpuEqualsTheChosenOne) {
  for (const Case& c : kCases) {
    const PackedAttentionShape shape{
        .tokens = c.tokens, .first_query = c.first_query, .heads = c.heads, .head_dim = c.head_dim};
    const at::Tensor qkv = at::randn({shape.tokens, 3 * shape.width()});
    const at::Tensor grad_out = at::randn({shape.queries(), shape.width()});
    std::vector<at::Tensor> outs, grads;
    std::vector<float> scratch(CpuAttentionScratch(shape));
    for (bool generic : {true, false}) {
      outs.push_back(at::randn({shape.queries(), shape.width()}));
      grads.push_back(at::randn({shape.tokens, 3 * shape.width()}));  // Overwritten, every element.
      std::vector<float> lse(shape.heads * shape.queries());
      (generic ? attention_generic::Forward : CpuAttention)(
          shape,
          {.qkv = qkv.data_ptr<float>(), .out = outs.back().data_ptr<float>(), .lse = lse.data()},
          scratch.data());
      (generic ? attention_generic::Backward : CpuAttentionGrad)(
          shape,
          {.qkv = qkv.data_ptr<float>(),
           .out = outs.back().data_ptr<float>(),
           .lse = lse.data(),
           .grad_out = grad_out.data_ptr<float>(),
           .grad_qkv = grads.back().data_ptr<float>()},
          scratch.data());
    }
    EXPECT_LT(Distance(outs[0], outs[1]), 1e-5) << c.tokens;
    EXPECT_LT(Distance(grads[0], grads[1]), 5e-5) << c.tokens;
  }
}

TEST(AttentionTest, LargeScoresStayFinite) {
  const Sequences shape{.count = 1, .tokens = 9, .heads = 1};
  const at::Tensor qkv = at::randn({9, 24}).mul(300);
  const at::Tensor out = Attend(qkv, shape);
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  EXPECT_LT(Distance(out, AttendBySdpa(qkv, shape, 0)), 1e-3 * out.abs().max().item<double>());
}

struct LinearCase {
  int64_t rows, in, out;
};

TEST(LinearTest, OutputAndGradientsEqualThoseOfLibTorch) {
  for (const LinearCase& c : {LinearCase{1, 8, 8}, {33, 48, 192}, {200, 256, 64}}) {
    LinearWeights ours{at::randn({c.out, c.in}), at::randn({c.out})};
    LinearWeights theirs{ours.weight.clone(), ours.bias.clone()};
    at::Tensor x = at::randn({c.rows, c.in});
    at::Tensor same = x.clone();
    for (at::Tensor* leaf : {&ours.weight, &ours.bias, &theirs.weight, &theirs.bias, &x, &same}) {
      leaf->requires_grad_();
    }
    const at::Tensor out = LinearGelu(ours, x);
    const at::Tensor expected = at::gelu(at::linear(same, theirs.weight, theirs.bias));
    const at::Tensor grad = at::randn(out.sizes());
    out.backward(grad);
    expected.backward(grad);
    EXPECT_LT(Distance(out, expected), 1e-4);
    EXPECT_LT(Distance(x.grad(), same.grad()), 1e-3);
    EXPECT_LT(Distance(ours.weight.grad(), theirs.weight.grad()), 1e-3);
    EXPECT_LT(Distance(ours.bias.grad(), theirs.bias.grad()), 1e-3);
    EXPECT_LT(
        Distance(LinearGelu({ours.weight.detach(), ours.bias.detach()}, x.detach()), expected),
        1e-4);
  }
}

}  // namespace
}  // namespace jepa
