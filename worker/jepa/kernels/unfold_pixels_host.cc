// The kernel of unfold_pixels.h on host memory: the same threads, one after the other.
#include "worker/jepa/kernels/unfold_pixels.h"

namespace jepa {

void UnfoldPixelsOnHost(const UnfoldPixels& args) {
  const int64_t rows = args.images * args.grid_height * args.grid_width;
  for (int64_t i = 0; i < rows * (args.columns / kColumns); ++i) {
    args.type == FloatType::kBfloat16 ? UnfoldPixelsThread<Bf16>(args, i)
                                      : UnfoldPixelsThread<float>(args, i);
  }
}

}  // namespace jepa
