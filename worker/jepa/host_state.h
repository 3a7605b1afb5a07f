// Copies of a learner's state in host memory.
#ifndef IJEPA_WORKER_JEPA_HOST_STATE_H_
#define IJEPA_WORKER_JEPA_HOST_STATE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

int64_t BytesOf(const TensorToSave& tensor);

// The layout of a whole state, and the data of those tensors that were copied; the others' is null.
// Not copyable: the tensors point into `bytes`.
struct HostState {
  HostState() = default;
  HostState(HostState&&) = default;
  HostState& operator=(HostState&&) = default;

  std::vector<TensorToSave> tensors;
  std::vector<std::vector<char>> bytes;
};

// Copies the tensors `which` (indices into StateLayout). Memory that `state` has is used again.
absl::Status CopyTensors(const Learner& learner, const std::vector<size_t>& which,
                         HostState& state);
absl::StatusOr<HostState> CopyWholeState(const Learner& learner);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_HOST_STATE_H_
