// Images as the probes see them: no chance, only the deterministic view.
#ifndef IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_
#define IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Which images, and how they are made. What it refers to must outlive the call.
struct EvalViewRequest {
  const ImageSource& source;
  const std::vector<int64_t>& indices;
  // Its crop_size, num_workers (threads; at least one) and what concerns the kind of pixels.
  const DataConfig& data;
  RunHost& host;
  int64_t step = 0;               // For the history.
  ijepa::Clock* clock = nullptr;  // Null: the machine's.
};

// Reads the images, each as ResizeAndCentreCrop (decode.h), into [indices.size(), channels, height,
// width] planar values. An image that cannot be read or decoded stays black and its index is
// appended to `bad`. Returns InvalidArgument for a crop below 1 or an index outside of the source.
// Storage that hangs is told and ends the process (host.Leave) as in training (Loader::Next);
// DeadlineExceeded where there is none to end. Blocks the calling thread.
absl::StatusOr<std::vector<uint8_t>> LoadEvalView(const EvalViewRequest& request,
                                                  std::vector<int64_t>& bad);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_
