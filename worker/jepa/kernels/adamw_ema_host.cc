// The kernels of adamw_ema.h on host memory.
#include "worker/jepa/kernels/adamw_ema_thread.h"

namespace jepa {

void GradientNormOnHost(const float* grad, int64_t count, double* partial) {
  for (int64_t i = 0; i < kNormPartials; ++i) {
    partial[i] = SquaresThread(grad, count, i, kNormPartials);
  }
}

void PrepareUpdateOnHost(const UpdateRequest& request, const double* partial, const float* loss,
                         UpdateState* state) {
  double squares = 0;
  for (int64_t i = 0; i < kNormPartials; ++i) squares += partial[i];
  PrepareUpdateThread(request, squares, *loss, state);
}

void AdamwEmaOnHost(const AdamwEmaRange& range, const UpdateState& state) {
  if (state.apply == 0) return;
  const int64_t eights = range.count / kColumns;
  for (int64_t i = 0; i < eights; ++i) AdamwEmaEight(range, state.scalars, i * kColumns);
  for (int64_t at = eights * kColumns; at < range.count; ++at) {
    AdamwEmaOne(range, state.scalars, at);
  }
}

void EmaOnHost(const AdamwEmaRange& range, const UpdateState& state) {
  if (state.apply == 0) return;
  const int64_t eights = range.count / kColumns;
  for (int64_t i = 0; i < eights; ++i) EmaEight(range, state.scalars, i * kColumns);
  for (int64_t at = eights * kColumns; at < range.count; ++at) EmaOne(range, state.scalars, at);
}

}  // namespace jepa
