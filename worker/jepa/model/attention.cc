// Attention; see attention.h.
#include "worker/jepa/model/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "worker/jepa/model/cpu_attention.h"

namespace jepa {
namespace {

// Longer sequences are left to LibTorch, whose products are blocked for the cache.
constexpr int64_t kMaxCpuTokens = 256;

PackedAttentionShape PackedShape(const at::Tensor& qkv, const Sequences& shape,
                                 int64_t first_query) {
  return {.tokens = shape.tokens,
          .first_query = first_query,
          .heads = shape.heads,
          .head_dim = qkv.size(1) / 3 / shape.heads};
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& qkv,
                            int64_t count, int64_t heads, int64_t first_query) {
    const Sequences sequences{
        .count = count, .tokens = qkv.size(0) / count, .heads = static_cast<int>(heads)};
    const PackedAttentionShape shape = PackedShape(qkv, sequences, first_query);
    const at::Tensor out = at::empty({count * shape.queries(), shape.width()}, qkv.options());
    const at::Tensor lse = at::empty({count, heads, shape.queries()}, qkv.options());
    const float* in = qkv.const_data_ptr<float>();
    float* out_data = out.data_ptr<float>();
    float* lse_data = lse.data_ptr<float>();
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(CpuAttentionScratch(shape));
      for (int64_t s = begin; s < end; ++s) {
        CpuAttention(shape,
                     {.qkv = in + s * shape.tokens * 3 * shape.width(),
                      .out = out_data + s * shape.queries() * shape.width(),
                      .lse = lse_data + s * heads * shape.queries()},
                     scratch.data());
      }
    });
    context->save_for_backward({qkv, out, lse});
    context->saved_data["count"] = count;
    context->saved_data["heads"] = heads;
    context->saved_data["first_query"] = first_query;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& qkv = saved[0];
    const int64_t count = context->saved_data["count"].toInt();
    const int64_t heads = context->saved_data["heads"].toInt();
    const Sequences sequences{
        .count = count, .tokens = qkv.size(0) / count, .heads = static_cast<int>(heads)};
    const PackedAttentionShape shape =
        PackedShape(qkv, sequences, context->saved_data["first_query"].toInt());
    const at::Tensor grad_out = grads[0].contiguous();
    const at::Tensor grad_qkv = at::empty_like(qkv);
    PackedAttentionBackward whole{.qkv = qkv.const_data_ptr<float>(),
                                  .out = saved[1].const_data_ptr<float>(),
                                  .lse = saved[2].const_data_ptr<float>(),
                                  .grad_out = grad_out.const_data_ptr<float>(),
                                  .grad_qkv = grad_qkv.data_ptr<float>()};
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(CpuAttentionScratch(shape));
      const int64_t packed = shape.tokens * 3 * shape.width();
      const int64_t rows = shape.queries() * shape.width();
      for (int64_t s = begin; s < end; ++s) {
        CpuAttentionGrad(shape,
                         {.qkv = whole.qkv + s * packed,
                          .out = whole.out + s * rows,
                          .lse = whole.lse + s * heads * shape.queries(),
                          .grad_out = whole.grad_out + s * rows,
                          .grad_qkv = whole.grad_qkv + s * packed},
                         scratch.data());
      }
    });
    return {grad_qkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// q, k and v of packed rows as views [S, H, n, d]; the gradients go back into one packed tensor by
// one copy each, where unbind and permute would copy twice.
class SplitPacked : public torch::autograd::Function<SplitPacked> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const at::Tensor& qkv, int64_t count,
                                                int64_t heads) {
    context->saved_data["heads"] = heads;
    context->saved_data["count"] = count;
    context->saved_data["columns"] = qkv.size(1);
    return Split(qkv, count, heads);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const int64_t heads = context->saved_data["heads"].toInt();
    const int64_t count = context->saved_data["count"].toInt();
    const at::Tensor packed = at::empty(
        {count * grads[0].size(2), context->saved_data["columns"].toInt()}, grads[0].options());
    std::vector<at::Tensor> parts = Split(packed, count, heads);
    for (int i = 0; i < 3; ++i) parts[i].copy_(grads[i]);
    return {packed, at::Tensor(), at::Tensor()};
  }

 private:
  static std::vector<at::Tensor> Split(const at::Tensor& qkv, int64_t count, int64_t heads) {
    return qkv.view({count, qkv.size(0) / count, 3, heads, qkv.size(1) / 3 / heads})
        .permute({2, 0, 3, 1, 4})
        .unbind(0);
  }
};

// Keeps cuDNN's attention away while it lives, if `away`. By the switch: LibTorch changes the order
// of kernels by itself on Hopper, so the order alone does not keep it away. The switch is the whole
// process's; one thread at a time computes attention here.
class WithoutCudnn {
 public:
  explicit WithoutCudnn(bool away) : switched_(away && at::globalContext().userEnabledCuDNNSDP()) {
    if (switched_) at::globalContext().setSDPUseCuDNN(false);
  }
  ~WithoutCudnn() {
    if (switched_) at::globalContext().setSDPUseCuDNN(true);
  }
  WithoutCudnn(const WithoutCudnn&) = delete;
  WithoutCudnn& operator=(const WithoutCudnn&) = delete;

 private:
  bool switched_;
};

}  // namespace

void SetCudaAttentionOrder() {
  using Backend = at::SDPBackend;
  std::vector<int64_t> order;
  for (Backend backend : {Backend::cudnn_attention, Backend::flash_attention,
                          Backend::efficient_attention, Backend::math, Backend::overrideable}) {
    order.push_back(static_cast<int64_t>(backend));
  }
  at::globalContext().setSDPPriorityOrder(order);
}

at::Tensor AttendBySdpa(const at::Tensor& qkv_R3D, const Sequences& shape, int64_t first_query) {
  const int64_t width = qkv_R3D.size(1) / 3;
  const std::vector<at::Tensor> qkv_SHnd =
      SplitPacked::apply(qkv_R3D, shape.count, static_cast<int64_t>(shape.heads));
  const int64_t queries = shape.tokens - first_query;
  // The gradient of a narrowed tensor is copied into zeros of the whole.
  const at::Tensor q_SHnd =
      first_query == 0 ? qkv_SHnd[0] : qkv_SHnd[0].narrow(2, first_query, queries);
  const WithoutCudnn kernels(qkv_R3D.is_cuda() && !shape.whole_images);
  const at::Tensor out_SHnd = at::scaled_dot_product_attention(q_SHnd, qkv_SHnd[1], qkv_SHnd[2]);
  return out_SHnd.transpose(1, 2).reshape({shape.count * queries, width});
}

at::Tensor Attend(const at::Tensor& qkv_R3D, const Sequences& shape, int64_t first_query) {
  const bool packed = qkv_R3D.is_cpu() && qkv_R3D.scalar_type() == at::kFloat &&
                      qkv_R3D.is_contiguous() && shape.tokens <= kMaxCpuTokens &&
                      qkv_R3D.size(1) / 3 / shape.heads % kCpuAttentionLanes == 0;
  return packed ? PackedAttention::apply(qkv_R3D, shape.count, shape.heads, first_query)
                : AttendBySdpa(qkv_R3D, shape, first_query);
}

}  // namespace jepa
