// See host_state.h.
#include "worker/jepa/host_state.h"

#include <numeric>

#include "common/status_macros.h"

namespace jepa {

int64_t BytesOf(const TensorToSave& tensor) {
  int64_t bytes = tensor.type == TensorType::kFloat32 ? 4
                  : tensor.type == TensorType::kInt64 ? 8
                                                      : 1;
  for (const int64_t side : tensor.shape) bytes *= side;
  return bytes;
}

absl::Status CopyTensors(const Learner& learner, const std::vector<size_t>& which,
                         HostState& state) {
  state.tensors = learner.StateLayout();
  state.bytes.resize(which.size());
  std::vector<void*> out;
  for (size_t i = 0; i < which.size(); ++i) {
    TensorToSave& tensor = state.tensors[which[i]];
    state.bytes[i].resize(static_cast<size_t>(BytesOf(tensor)));
    tensor.data = state.bytes[i].data();
    out.push_back(state.bytes[i].data());
  }
  return learner.CopyState(which, out);
}

absl::StatusOr<HostState> CopyWholeState(const Learner& learner) {
  HostState state;
  std::vector<size_t> all(learner.StateLayout().size());
  std::iota(all.begin(), all.end(), 0);
  IJEPA_RETURN_IF_ERROR(CopyTensors(learner, all, state));
  return state;
}

}  // namespace jepa
