// Writing order: space, parts, manifest, folder, rename. The manifest is in place before the name
// is, and every step is durable before the next.
#include "worker/jepa/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <numeric>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/checkpoint/manifest.h"
#include "worker/jepa/checkpoint/part_file.h"

namespace jepa {
namespace {

// Room for the manifest and the file system's own blocks.
constexpr int64_t kSpareBytes = int64_t{1} << 20;

std::string Gigabytes(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes < 100'000'000) return absl::StrFormat("%.1f MB", value / 1e6);
  return absl::StrFormat("%.1f GB", value / 1e9);
}

// Gives every tensor its place and every part its size.
absl::StatusOr<Manifest> PlanLayout(const CheckpointMeta& meta,
                                    const std::vector<TensorToSave>& tensors, int64_t part_bytes) {
  Manifest manifest;
  manifest.meta = meta;
  std::set<std::string> names;
  for (const TensorToSave& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, " is given twice"));
    }
    TensorEntry entry;
    entry.name = tensor.name;
    entry.type = tensor.type;
    entry.shape = tensor.shape;
    IJEPA_ASSIGN_OR_RETURN(entry.bytes, TensorBytes(tensor.type, tensor.shape));
    if (manifest.parts.empty() || manifest.parts.back().bytes >= part_bytes) {
      manifest.parts.emplace_back();
    }
    PartEntry& part = manifest.parts.back();
    entry.part = static_cast<int>(manifest.parts.size()) - 1;
    entry.offset = (part.bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
    part.bytes = entry.offset + entry.bytes;
    manifest.tensors.push_back(std::move(entry));
  }
  return manifest;
}

absl::Status CheckSpace(const std::string& folder, int64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) {
    return ijepa::ErrnoStatus(errno, "examining space of", folder);
  }
  const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  const int64_t needed = bytes + kSpareBytes;
  if (static_cast<double>(needed) <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "a checkpoint needs ", Gigabytes(needed), ", ", folder, " has ",
      Gigabytes(static_cast<int64_t>(free)), " free; make room or choose another folder"));
}

absl::Status AppendTensor(const TensorToSave& tensor, int64_t bytes, PartWriter& writer) {
  if (tensor.data != nullptr || bytes == 0) {
    return writer.Append(tensor.data, static_cast<size_t>(bytes));
  }
  if (tensor.fill == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, " has no data"));
  }
  std::vector<char> data(static_cast<size_t>(bytes));
  IJEPA_RETURN_IF_ERROR(tensor.fill(data.data()));
  return writer.Append(data.data(), data.size());
}

absl::Status WriteSynced(const std::string& path, const std::string& text) {
  IJEPA_ASSIGN_OR_RETURN(PartWriter writer,
                         PartWriter::Create(path, static_cast<int64_t>(text.size())));
  IJEPA_RETURN_IF_ERROR(writer.Append(text.data(), text.size()));
  IJEPA_RETURN_IF_ERROR(writer.Finish().status());
  return writer.Sync();
}

// Takes the name away first, so that a killed deletion leaves nothing that looks whole.
absl::Status DeleteOne(const std::string& path) {
  const std::string unfinished = absl::StrCat(path, kUnfinishedSuffix);
  if (::rename(path.c_str(), unfinished.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ijepa::RemoveTree(path);
  }
  return ijepa::RemoveTree(unfinished);
}

// Removes what a failed write left. Returns `status`, and what could not be removed.
absl::Status CleanUp(const std::string& path, const absl::Status& status) {
  const absl::Status cleaned = DeleteOne(path);
  if (cleaned.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; left behind: ", cleaned.message()));
}

absl::Status DeleteUnfinished(const std::string& folder, int64_t generation) {
  std::error_code error;
  std::vector<std::string> found;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<CheckpointName> name =
        ParseCheckpointName(entry->path().filename().string());
    if (name.has_value() && name->unfinished && name->generation < generation) {
      found.push_back(entry->path().string());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ijepa::ErrnoStatus(error.value(), "listing", folder);
  }
  for (const std::string& path : found) IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(path));
  return absl::OkStatus();
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::string path, std::unique_ptr<Manifest> manifest,
                                   CheckpointOptions options)
    : path_(std::move(path)), manifest_(std::move(manifest)), options_(std::move(options)) {}
CheckpointWriter::CheckpointWriter(CheckpointWriter&&) noexcept = default;
CheckpointWriter& CheckpointWriter::operator=(CheckpointWriter&&) noexcept = default;
CheckpointWriter::~CheckpointWriter() = default;

absl::StatusOr<CheckpointWriter> CheckpointWriter::Plan(const std::string& folder,
                                                        const CheckpointMeta& meta,
                                                        const std::vector<TensorToSave>& tensors,
                                                        const CheckpointOptions& options) {
  if (meta.step < 0 || meta.generation < 0 || meta.images_seen < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint of step ", meta.step, ", generation ", meta.generation, ", ",
                     meta.images_seen, " images; none may be negative"));
  }
  IJEPA_ASSIGN_OR_RETURN(Manifest manifest, PlanLayout(meta, tensors, options.part_bytes));
  IJEPA_RETURN_IF_ERROR(ManifestToJson(manifest).status());  // Text that is not UTF-8.
  return CheckpointWriter(
      absl::StrCat(folder, "/", CheckpointFolderName(meta.step, meta.generation)),
      std::make_unique<Manifest>(std::move(manifest)), options);
}

int CheckpointWriter::parts() const { return static_cast<int>(manifest_->parts.size()); }

int64_t CheckpointWriter::bytes() const {
  int64_t bytes = 0;
  for (const PartEntry& part : manifest_->parts) bytes += part.bytes;
  return bytes;
}

std::vector<size_t> CheckpointWriter::TensorsOf(int part) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < manifest_->tensors.size(); ++i) {
    if (manifest_->tensors[i].part == part) found.push_back(i);
  }
  return found;
}

absl::Status CheckpointWriter::Before(absl::string_view operation) const {
  return options_.before_operation ? options_.before_operation(operation) : absl::OkStatus();
}

absl::Status CheckpointWriter::Begin() const {
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const std::string unfinished = absl::StrCat(path_, kUnfinishedSuffix);
  IJEPA_RETURN_IF_ERROR(ijepa::MakeFolders(folder));
  if (::access(path_.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(path_, " is there already; a generation writes a step once"));
  }
  IJEPA_RETURN_IF_ERROR(Before("remove an older unfinished folder"));
  IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(unfinished));
  IJEPA_RETURN_IF_ERROR(CheckSpace(folder, bytes()));
  IJEPA_RETURN_IF_ERROR(Before("make the folder"));
  if (::mkdir(unfinished.c_str(), 0755) != 0) {
    return ijepa::ErrnoStatus(errno, "creating folder", unfinished);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint32_t>> CheckpointWriter::WriteParts(
    const std::vector<int>& parts, const std::vector<TensorToSave>& tensors) const {
  std::vector<PartWriter> writers;
  std::vector<uint32_t> checksums;
  for (const int part : parts) {
    IJEPA_RETURN_IF_ERROR(Before("create a part"));
    IJEPA_ASSIGN_OR_RETURN(
        PartWriter writer,
        PartWriter::Create(absl::StrCat(path_, kUnfinishedSuffix, "/", PartName(part)),
                           manifest_->parts[static_cast<size_t>(part)].bytes));
    for (const size_t index : TensorsOf(part)) {
      const TensorEntry& entry = manifest_->tensors[index];
      IJEPA_RETURN_IF_ERROR(Before("write a tensor"));
      IJEPA_RETURN_IF_ERROR(writer.PadTo(entry.offset));
      IJEPA_RETURN_IF_ERROR(AppendTensor(tensors[index], entry.bytes, writer));
    }
    IJEPA_RETURN_IF_ERROR(Before("end a part"));
    IJEPA_ASSIGN_OR_RETURN(const uint32_t checksum, writer.Finish());
    checksums.push_back(checksum);
    writers.push_back(std::move(writer));
  }
  for (PartWriter& writer : writers) {
    IJEPA_RETURN_IF_ERROR(Before("sync a part"));
    IJEPA_RETURN_IF_ERROR(writer.Sync());
  }
  return checksums;
}

absl::Status CheckpointWriter::WriteManifest() const {
  const std::string unfinished = absl::StrCat(path_, kUnfinishedSuffix);
  IJEPA_ASSIGN_OR_RETURN(const std::string json, ManifestToJson(*manifest_));
  IJEPA_RETURN_IF_ERROR(Before("write the manifest"));
  IJEPA_RETURN_IF_ERROR(WriteSynced(absl::StrCat(unfinished, "/", kManifestName), json));
  IJEPA_RETURN_IF_ERROR(Before("sync the folder"));
  return ijepa::SyncFolder(unfinished);
}

absl::StatusOr<CheckpointSummary> CheckpointWriter::Publish(const std::vector<uint32_t>& crc32c) {
  if (crc32c.size() != manifest_->parts.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(crc32c.size(), " checksums for ", manifest_->parts.size(), " parts"));
  }
  for (size_t i = 0; i < crc32c.size(); ++i) manifest_->parts[i].crc32c = crc32c[i];
  absl::Status status = WriteManifest();
  const std::string unfinished = absl::StrCat(path_, kUnfinishedSuffix);
  if (status.ok()) status = Before("rename");
  if (status.ok() && ::rename(unfinished.c_str(), path_.c_str()) != 0) {
    status = ijepa::ErrnoStatus(errno, "renaming to", path_);
  }
  if (!status.ok()) return Abandon(status);
  status = Before("sync the parent");
  if (status.ok()) status = ijepa::SyncFolder(std::filesystem::path(path_).parent_path().string());
  // The name may not survive a crash, so it is taken back.
  if (!status.ok()) return CleanUp(path_, status);
  return CheckpointSummary{path_, bytes()};
}

absl::Status CheckpointWriter::Abandon(const absl::Status& why) const {
  return CleanUp(absl::StrCat(path_, kUnfinishedSuffix), why);
}

absl::StatusOr<CheckpointSummary> WriteCheckpoint(const std::string& folder,
                                                  const CheckpointMeta& meta,
                                                  const std::vector<TensorToSave>& tensors,
                                                  const CheckpointOptions& options) {
  IJEPA_ASSIGN_OR_RETURN(CheckpointWriter writer,
                         CheckpointWriter::Plan(folder, meta, tensors, options));
  IJEPA_RETURN_IF_ERROR(writer.Begin());
  std::vector<int> parts(static_cast<size_t>(writer.parts()));
  std::iota(parts.begin(), parts.end(), 0);
  const absl::StatusOr<std::vector<uint32_t>> checksums = writer.WriteParts(parts, tensors);
  if (!checksums.ok()) return writer.Abandon(checksums.status());
  return writer.Publish(*checksums);
}

absl::Status DeleteCheckpoints(const std::string& folder, const std::vector<std::string>& paths,
                               int64_t generation) {
  // "a/b/" and "a/b" are the same folder.
  const auto normal = [](const std::filesystem::path& path) {
    const std::filesystem::path clean = path.lexically_normal();
    return clean.has_filename() ? clean : clean.parent_path();
  };
  absl::Status status;
  for (const std::string& given : paths) {
    const std::filesystem::path path = normal(given);
    const std::optional<CheckpointName> name = ParseCheckpointName(path.filename().string());
    if (path.parent_path() != normal(folder) || !name.has_value() || name->unfinished) {
      status.Update(absl::InvalidArgumentError(
          absl::StrCat(given, " is not a checkpoint in ", folder, "; it is left alone")));
      continue;
    }
    status.Update(DeleteOne(path.string()));
  }
  status.Update(DeleteUnfinished(folder, generation));
  return status;
}

}  // namespace jepa
