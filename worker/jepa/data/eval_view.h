// Images as the probes see them: no chance, only the deterministic view.
#ifndef IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_
#define IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

// Reads source images `indices`, each as ResizeAndCentreCrop (decode.h) to `crop` pixels, into
// [indices.size(), 3, height, width] planar RGB bytes. An image that cannot be read or decoded
// stays black and its index is appended to `bad` (may be null). Returns InvalidArgument for a crop
// below 1 or an index outside of the source. Blocks the calling thread; thread-safe.
absl::StatusOr<std::vector<uint8_t>> LoadEvalView(const ImageSource& source,
                                                  const std::vector<int64_t>& indices, Size crop,
                                                  std::vector<int64_t>* bad);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_EVAL_VIEW_H_
