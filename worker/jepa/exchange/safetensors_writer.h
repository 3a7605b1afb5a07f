// Writes safetensors files tensor by tensor, with the memory of one.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_SAFETENSORS_WRITER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_SAFETENSORS_WRITER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace jepa {

// Metadata of files written here: the line of sizes (model_line.h).
inline constexpr char kModelMetadata[] = "ijepa.model";

// A float32 tensor to be written; `fill` puts its values, row-major, into memory of that size.
struct FloatTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::function<absl::Status(float*)> fill;
};

// Creates or replaces `path` and makes it durable. Errors: those of `fill` and the file system.
absl::Status WriteSafetensors(const std::string& path, const std::vector<FloatTensor>& tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_SAFETENSORS_WRITER_H_
