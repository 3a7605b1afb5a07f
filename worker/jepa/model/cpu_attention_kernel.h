// The code of cpu_attention.h, compiled once per instruction set: the including file names a
// namespace in JEPA_CPU_ATTENTION_NAMESPACE.
#ifndef IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_KERNEL_H_
#define IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_KERNEL_H_

#include <cstdint>

#include "worker/jepa/model/cpu_attention.h"
#include "worker/jepa/model/cpu_product_kernel.h"

namespace jepa {
namespace JEPA_CPU_ATTENTION_NAMESPACE {
namespace {

constexpr int64_t kQueryBlock = 64;  // Rows of scores that are kept at a time.
constexpr float kMasked = -1e30f;

// Rows of one head within the packed sequence, and the scratch of a call.
struct Head {
  const PackedAttentionShape* shape;
  const float* q;
  const float* k;
  const float* v;
  int64_t stride;  // Between tokens of qkv.
  int64_t padded;  // Tokens rounded up to kLanes.
  float scale;
  float* transposed;  // [head_dim, padded]
  float* scores;      // [kQueryBlock, padded]
  float* grads;       // [kQueryBlock, padded]
};

float InverseSqrt(int64_t n) {
  return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(n)));
}

Head MakeHead(const PackedAttentionShape& shape, const float* qkv, int64_t head, float* scratch) {
  const int64_t padded = (shape.tokens + kLanes - 1) / kLanes * kLanes;
  Head h;
  h.shape = &shape;
  h.q = qkv + head * shape.head_dim;
  h.k = h.q + shape.width();
  h.v = h.k + shape.width();
  h.stride = 3 * shape.width();
  h.padded = padded;
  h.scale = InverseSqrt(shape.head_dim);
  h.transposed = scratch;
  h.scores = scratch + shape.head_dim * padded;
  h.grads = h.scores + kQueryBlock * padded;
  return h;
}

// [tokens, head_dim] -> [head_dim, padded], zeros in the padding.
void Transpose(const Head& h, const float* rows) {
  const int64_t dim = h.shape->head_dim;
  for (int64_t d = 0; d < dim; ++d) {
    float* out = h.transposed + d * h.padded;
    for (int64_t t = 0; t < h.shape->tokens; ++t) out[t] = rows[t * h.stride + d];
    for (int64_t t = h.shape->tokens; t < h.padded; ++t) out[t] = 0.0f;
  }
}

// scores[r] = q of query first + r, times all keys; the keys are in h.transposed.
void Scores(const Head& h, int64_t first, int64_t rows) {
  const float* q = h.q + (h.shape->first_query + first) * h.stride;
  Multiply({{q, h.stride, 1}, h.transposed, h.padded, h.scores, h.padded, h.shape->head_dim, false},
           rows, h.padded);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t t = h.shape->tokens; t < h.padded; ++t) h.scores[r * h.padded + t] = kMasked;
  }
}

// Scores of a row to unnormalised probabilities; returns their sum and the maximum.
float SoftmaxRow(const Head& h, float* row, float* maximum) {
  Vec largest = Load(row);
  for (int64_t t = kLanes; t < h.padded; t += kLanes) {
    const Vec x = Load(row + t);
    largest = x > largest ? x : largest;
  }
  float top = largest[0];
  for (int i = 1; i < kLanes; ++i) top = largest[i] > top ? largest[i] : top;
  Vec sum = Splat(0.0f);
  for (int64_t t = 0; t < h.padded; t += kLanes) {
    const Vec p = Exp((Load(row + t) - top) * h.scale);
    Store(row + t, p);
    sum += p;
  }
  *maximum = top;
  return Sum(sum);
}

void ForwardHead(const Head& h, float* out, float* lse) {
  const PackedAttentionShape& shape = *h.shape;
  Transpose(h, h.k);
  for (int64_t first = 0; first < shape.queries(); first += kQueryBlock) {
    const int64_t left = shape.queries() - first;
    const int64_t rows = left < kQueryBlock ? left : kQueryBlock;
    Scores(h, first, rows);
    float inverse[kQueryBlock];
    for (int64_t r = 0; r < rows; ++r) {
      float maximum;
      const float sum = SoftmaxRow(h, h.scores + r * h.padded, &maximum);
      inverse[r] = 1.0f / sum;
      lse[first + r] = maximum * h.scale + __builtin_logf(sum);
    }
    float* block = out + first * shape.width();
    Multiply({{h.scores, h.padded, 1}, h.v, h.stride, block, shape.width(), shape.tokens, false},
             rows, shape.head_dim);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = block + r * shape.width();
      for (int64_t d = 0; d < shape.head_dim; d += kLanes)
        Store(row + d, Load(row + d) * inverse[r]);
    }
  }
}

// Probabilities again into scores, and dL/dscore (scaled) into grads. grads holds dL/dprobability.
void ScoreGrads(const Head& h, const float* lse, const float* delta, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    float* scores = h.scores + r * h.padded;
    float* grads = h.grads + r * h.padded;
    for (int64_t t = 0; t < h.padded; t += kLanes) {
      const Vec p = Exp(Load(scores + t) * h.scale - lse[r]);
      Store(scores + t, p);
      Store(grads + t, p * (Load(grads + t) - delta[r]) * h.scale);
    }
  }
}

void BackwardHead(const Head& h, const PackedAttentionBackward& io, int64_t head) {
  const PackedAttentionShape& shape = *h.shape;
  const int64_t dim = shape.head_dim, width = shape.width();
  float* grad_q = io.grad_qkv + head * dim;
  float* grad_k = grad_q + width;
  float* grad_v = grad_k + width;
  for (int64_t t = 0; t < shape.first_query; ++t) {
    for (int64_t d = 0; d < dim; d += kLanes) Store(grad_q + t * h.stride + d, Splat(0.0f));
  }
  for (int64_t first = 0; first < shape.queries(); first += kQueryBlock) {
    const int64_t left = shape.queries() - first;
    const int64_t rows = left < kQueryBlock ? left : kQueryBlock;
    const float* grad_out = io.grad_out + first * width + head * dim;
    const float* out = io.out + first * width + head * dim;
    float delta[kQueryBlock];
    for (int64_t r = 0; r < rows; ++r) {
      Vec sum = Splat(0.0f);
      for (int64_t d = 0; d < dim; d += kLanes) {
        sum += Load(grad_out + r * width + d) * Load(out + r * width + d);
      }
      delta[r] = Sum(sum);
    }
    Transpose(h, h.k);
    Scores(h, first, rows);
    Transpose(h, h.v);
    Multiply({{grad_out, width, 1}, h.transposed, h.padded, h.grads, h.padded, dim, false}, rows,
             h.padded);
    ScoreGrads(h, io.lse + head * shape.queries() + first, delta, rows);
    const int64_t query = shape.first_query + first;
    const bool more = first > 0;
    Multiply({{h.grads, h.padded, 1},
              h.k,
              h.stride,
              grad_q + query * h.stride,
              h.stride,
              shape.tokens,
              false},
             rows, dim);
    Multiply(
        {{h.grads, 1, h.padded}, h.q + query * h.stride, h.stride, grad_k, h.stride, rows, more},
        shape.tokens, dim);
    Multiply({{h.scores, 1, h.padded}, grad_out, width, grad_v, h.stride, rows, more}, shape.tokens,
             dim);
  }
}

}  // namespace

int64_t Scratch(const PackedAttentionShape& shape) {
  const int64_t padded = (shape.tokens + kLanes - 1) / kLanes * kLanes;
  return (shape.head_dim + 2 * kQueryBlock) * padded;
}

void Forward(const PackedAttentionShape& shape, const PackedAttentionForward& io, float* scratch) {
  for (int64_t head = 0; head < shape.heads; ++head) {
    ForwardHead(MakeHead(shape, io.qkv, head, scratch), io.out + head * shape.head_dim,
                io.lse + head * shape.queries());
  }
}

void Backward(const PackedAttentionShape& shape, const PackedAttentionBackward& io,
              float* scratch) {
  for (int64_t head = 0; head < shape.heads; ++head) {
    BackwardHead(MakeHead(shape, io.qkv, head, scratch), io, head);
  }
}

}  // namespace JEPA_CPU_ATTENTION_NAMESPACE
}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_CPU_ATTENTION_KERNEL_H_
