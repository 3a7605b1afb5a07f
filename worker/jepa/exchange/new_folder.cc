// An old folder is moved aside before the new one takes its name, and removed after.
#include "worker/jepa/exchange/new_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

bool IsOurs(const std::string& name) {
  for (const char* known :
       {"manifest.json", "config.json", "preprocessor_config.json", "model.safetensors"}) {
    if (name == known) return true;
  }
  return absl::EndsWith(name, ".pth.tar") ||
         (absl::StartsWith(name, "part-") && absl::EndsWith(name, ".bin"));
}

absl::Status CheckReplaceable(const std::string& path, bool replace) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) return absl::OkStatus();
  if (!replace) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " is there already; name another folder, or replace it with --force"));
  }
  if (status.type() != std::filesystem::file_type::directory) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no folder; it is left alone"));
  }
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (!IsOurs(name) || !entry->is_regular_file(ignored)) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, " holds ", name, ", which no import or export writes; it is left alone"));
    }
  }
  if (error) return ijepa::ErrnoStatus(error.value(), "listing", path);
  return absl::OkStatus();
}

}  // namespace

NewFolder::NewFolder(std::string path, std::string aside)
    : path_(std::move(path)), aside_(std::move(aside)) {}

NewFolder::NewFolder(NewFolder&& other) noexcept
    : path_(std::move(other.path_)), aside_(std::exchange(other.aside_, "")) {}

NewFolder::~NewFolder() {
  if (!aside_.empty()) ijepa::RemoveTree(aside_).IgnoreError();
}

absl::StatusOr<NewFolder> NewFolder::Make(const std::string& path, bool replace) {
  std::filesystem::path clean =
      std::filesystem::absolute(std::filesystem::path(path)).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  if (!clean.has_filename()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" names no folder"));
  }
  IJEPA_RETURN_IF_ERROR(CheckReplaceable(clean.string(), replace));
  IJEPA_RETURN_IF_ERROR(ijepa::MakeFolders(clean.parent_path().string()));
  const std::string aside = absl::StrCat(clean.string(), ".new");
  IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(aside));
  if (::mkdir(aside.c_str(), 0755) != 0) {
    return ijepa::ErrnoStatus(errno, "creating folder", aside);
  }
  return NewFolder(clean.string(), aside);
}

absl::Status NewFolder::Commit(const std::string& folder) {
  IJEPA_RETURN_IF_ERROR(ijepa::SyncFolder(folder));
  const std::string old = absl::StrCat(path_, ".old");
  IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(old));
  const bool replaced = ::rename(path_.c_str(), old.c_str()) == 0;
  if (!replaced && errno != ENOENT) return ijepa::ErrnoStatus(errno, "moving aside", path_);
  if (::rename(folder.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    if (replaced && ::rename(old.c_str(), path_.c_str()) != 0) {
      return absl::InternalError(absl::StrCat("the folder that was ", path_, " is now ", old));
    }
    return ijepa::ErrnoStatus(error, "renaming to", path_);
  }
  IJEPA_RETURN_IF_ERROR(ijepa::SyncFolder(std::filesystem::path(path_).parent_path().string()));
  return ijepa::RemoveTree(old);
}

}  // namespace jepa
