// The LibTorch headers of this library, precompiled: ATen alone, without torch::nn and its data
// loader.
#ifndef IJEPA_WORKER_JEPA_MODEL_TORCH_PCH_H_
#define IJEPA_WORKER_JEPA_MODEL_TORCH_PCH_H_

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#endif  // IJEPA_WORKER_JEPA_MODEL_TORCH_PCH_H_
