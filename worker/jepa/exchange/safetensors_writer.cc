// Header padded with spaces to a multiple of 8, then the data in the header's order.
#include "worker/jepa/exchange/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/published_names.h"

namespace jepa {

absl::Status WriteSafetensors(const std::string& path, const std::vector<FloatTensor>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = {{"__metadata__", metadata}};
  uint64_t offset = 0;
  for (const FloatTensor& tensor : tensors) {
    const uint64_t end = offset + sizeof(float) * static_cast<uint64_t>(CountOf(tensor.shape));
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string json = header.dump();
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string start;
  AppendLittleEndian(json.size(), 8, &start);
  ijepa::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "creating", path);
  IJEPA_RETURN_IF_ERROR(ijepa::WriteAll(fd.get(), start + json, path));
  std::vector<float> values;
  for (const FloatTensor& tensor : tensors) {
    values.resize(static_cast<size_t>(CountOf(tensor.shape)));
    IJEPA_RETURN_IF_ERROR(tensor.fill(values.data()));
    IJEPA_RETURN_IF_ERROR(ijepa::WriteAll(
        fd.get(), {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)},
        path));
  }
  if (::fsync(fd.get()) != 0) return ijepa::ErrnoStatus(errno, "syncing", path);
  if (::close(fd.Release()) != 0) return ijepa::ErrnoStatus(errno, "closing", path);
  return absl::OkStatus();
}

}  // namespace jepa
