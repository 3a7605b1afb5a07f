// Verifies everything once, at Open; reads trust it afterwards.
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/checkpoint/manifest.h"
#include "worker/jepa/checkpoint/part_file.h"

namespace jepa {
namespace {

// A tensor takes about 150 bytes of it.
constexpr uintmax_t kMaxManifestBytes = 256 << 20;

absl::Status InFolder(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

std::string PartPath(const std::string& path, size_t part) {
  return absl::StrCat(path, "/", PartName(static_cast<int>(part)));
}

absl::Status VerifyPart(const std::string& path, const PartEntry& part) {
  IJEPA_ASSIGN_OR_RETURN(const uint32_t crc, PartChecksum(path, part.bytes));
  if (crc == part.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat("%s is altered: CRC32C %08x, the manifest says %08x",
                                             path, crc, part.crc32c));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::StatusOr<CheckpointReader> CheckpointReader::Open(const std::string& path) {
  const std::filesystem::path folder(path);
  const std::string name =
      (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  const std::optional<CheckpointName> parsed = ParseCheckpointName(name);
  if (parsed.has_value() && parsed->unfinished) {
    return absl::NotFoundError(absl::StrCat(path, " is an unfinished checkpoint"));
  }
  const std::string manifest_path = absl::StrCat(path, "/", kManifestName);
  std::error_code error;
  const uintmax_t manifest_bytes = std::filesystem::file_size(manifest_path, error);
  if (!error && manifest_bytes > kMaxManifestBytes) {
    return absl::DataLossError(absl::StrCat(manifest_path, " has ", manifest_bytes,
                                            " bytes; at most ", kMaxManifestBytes, " are read"));
  }
  IJEPA_ASSIGN_OR_RETURN(const std::string json, ijepa::ReadFile(manifest_path));
  absl::StatusOr<Manifest> manifest = ParseManifest(json);
  if (!manifest.ok()) return InFolder(manifest.status(), path);
  for (size_t i = 0; i < manifest->parts.size(); ++i) {
    IJEPA_RETURN_IF_ERROR(VerifyPart(PartPath(path, i), manifest->parts[i]));
  }
  CheckpointReader reader;
  reader.path_ = path;
  reader.meta_ = std::move(manifest->meta);
  reader.tensors_ = std::move(manifest->tensors);
  for (size_t i = 0; i < reader.tensors_.size(); ++i) reader.by_name_[reader.tensors_[i].name] = i;
  return reader;
}

absl::Status CheckpointReader::Read(const std::string& name, TensorType type,
                                    const std::vector<int64_t>& shape, void* out) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, " has no tensor ", name));
  }
  const TensorEntry& entry = tensors_[found->second];
  if (entry.type != type) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor ", name, " has another type"));
  }
  if (entry.shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor ", name, " has shape ",
                                                   ShapeText(entry.shape), "; expected ",
                                                   ShapeText(shape)));
  }
  return ReadPart(PartPath(path_, static_cast<size_t>(entry.part)), entry.offset, entry.bytes, out);
}

}  // namespace jepa
