// Writes a training state as the published program would have: a zip archive that Python's
// torch.load(weights_only=True) reads as plain dictionaries and tensors. ijepa-spec 6.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_TORCH_WRITER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_TORCH_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// Writes encoder, predictor, target_encoder (keys with `module.`), opt, scaler, epoch, loss,
// batch_size, world_size and lr. epoch is the finished epochs, rounded down; a state between epochs
// is resumed by the published program from the epoch's start. Differs: a run without a scaler gets
// a fresh one in the file, because the published program with use_bfloat16 starts again from epoch
// 0 without a word when there is none. Returns FailedPrecondition if the state has no predictor, no
// moments or no figures.
absl::Status WriteTorchState(const std::string& path, const StateSource& state);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_TORCH_WRITER_H_
