// cpu_attention_kernel.h for any CPU, and the choice between that and AVX2.
#include "worker/jepa/model/cpu_attention.h"

#define JEPA_CPU_ATTENTION_NAMESPACE attention_generic
#include "worker/jepa/model/cpu_attention_kernel.h"

namespace jepa {

#if defined(__x86_64__)
namespace attention_avx2 {
void Forward(const PackedAttentionShape& shape, const PackedAttentionForward& io, float* scratch);
void Backward(const PackedAttentionShape& shape, const PackedAttentionBackward& io, float* scratch);
}  // namespace attention_avx2

namespace {
bool HasAvx2() {
  static const bool kHas = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return kHas;
}
}  // namespace
#endif

int64_t CpuAttentionScratch(const PackedAttentionShape& shape) {
  return attention_generic::Scratch(shape);
}

void CpuAttention(const PackedAttentionShape& shape, const PackedAttentionForward& io,
                  float* scratch) {
#if defined(__x86_64__)
  if (HasAvx2()) return attention_avx2::Forward(shape, io, scratch);
#endif
  attention_generic::Forward(shape, io, scratch);
}

void CpuAttentionGrad(const PackedAttentionShape& shape, const PackedAttentionBackward& io,
                      float* scratch) {
#if defined(__x86_64__)
  if (HasAvx2()) return attention_avx2::Backward(shape, io, scratch);
#endif
  attention_generic::Backward(shape, io, scratch);
}

}  // namespace jepa
