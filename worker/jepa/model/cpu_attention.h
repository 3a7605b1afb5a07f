// Attention on packed fp32 rows for one CPU core: reads q, k, v where the QKV product left them and
// writes where the next product reads, without copies or tensors of all scores. Made for short
// sequences and narrow heads, where general kernels spend their time on set-up. No LibTorch.
//
// Softmax as in FlashAttention (arXiv:2205.14135): forward keeps one number per row, its
// log-sum-exp, and backward recomputes the probabilities from it.
#ifndef IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_H_
#define IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_H_

#include <cstdint>

namespace jepa {

// Rows of a sequence are neighbours; a row of qkv is [q of all heads | k | v]. Tokens before
// first_query are keys and values only.
struct PackedAttentionShape {
  int64_t tokens = 0;
  int64_t first_query = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;  // A multiple of kCpuAttentionLanes.

  int64_t width() const { return heads * head_dim; }
  int64_t queries() const { return tokens - first_query; }
};

inline constexpr int64_t kCpuAttentionLanes = 8;

// One sequence. qkv: [tokens, 3 * width]; out: [queries, width]; lse: [heads, queries].
struct PackedAttentionForward {
  const float* qkv = nullptr;
  float* out = nullptr;
  float* lse = nullptr;
};

// grad_qkv is overwritten: [tokens, 3 * width].
struct PackedAttentionBackward {
  const float* qkv = nullptr;
  const float* out = nullptr;
  const float* lse = nullptr;
  const float* grad_out = nullptr;
  float* grad_qkv = nullptr;
};

// Floats of scratch that one call needs.
int64_t CpuAttentionScratch(const PackedAttentionShape& shape);

// Picks AVX2 code where the CPU has it. The same bits for the same input on the same CPU, whatever
// the thread. `scratch` belongs to the calling thread.
void CpuAttention(const PackedAttentionShape& shape, const PackedAttentionForward& io,
                  float* scratch);
void CpuAttentionGrad(const PackedAttentionShape& shape, const PackedAttentionBackward& io,
                      float* scratch);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_H_
