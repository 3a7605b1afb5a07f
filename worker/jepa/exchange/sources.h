// One function per kind of source; OpenState (state_source.h) chooses among them. Errors do not
// name the path; OpenState adds it.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_SOURCES_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_SOURCES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// A checkpoint folder of this project.
absl::StatusOr<std::unique_ptr<StateSource>> OpenCheckpointState(const std::string& path);

// A file of torch.save: a training state as the published program writes it, with or without its
// optimizer, or the state dict of one encoder.
absl::StatusOr<std::unique_ptr<StateSource>> OpenTorchState(const std::string& path,
                                                            std::unique_ptr<ByteSource> bytes);

// A safetensors file, with the config.json beside it when `config_path` is not empty: Hugging Face
// or published names of one encoder, or the three networks as `ijepactl export --format
// safetensors` writes them.
absl::StatusOr<std::unique_ptr<StateSource>> OpenWeights(const std::string& path,
                                                         const std::string& config_path);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_SOURCES_H_
