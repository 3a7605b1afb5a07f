// Rendering a scene, and writing a set of them as a folder of JPEGs.
#include "worker/jepa/data/scene_generator.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/data/scene_layout.h"

namespace jepa {
namespace {

constexpr int kGeneratorVersion = 1;  // Another number: other pixels for the same seed.
constexpr int kJpegQuality = 92;
constexpr char kStampName[] = "scene_set.txt";

absl::string_view ShapeName(SolidShape shape) {
  switch (shape) {
    case SolidShape::kSphere:
      return "sphere";
    case SolidShape::kCube:
      return "cube";
    case SolidShape::kCylinder:
      return "cylinder";
    case SolidShape::kCone:
      return "cone";
  }
  return "";
}

// Durable by the sync of the whole set, not one by one.
absl::Status WriteNewFile(const std::string& path, absl::string_view data) {
  const ijepa::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "creating", path);
  return ijepa::WriteAll(fd.get(), data, path);
}

absl::Status SyncFileSystem(const std::string& folder) {
  const ijepa::UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "opening", folder);
  if (syncfs(fd.get()) != 0) return ijepa::ErrnoStatus(errno, "syncing", folder);
  return absl::OkStatus();
}

struct SceneSet {
  uint64_t seed = 0;
  int64_t count = 0;
  int size = 0;

  std::string Stamp() const {
    return absl::StrCat("rendered scenes\ngenerator ", kGeneratorVersion, "\nseed ", seed,
                        "\ncount ", count, "\nsize ", size, "\n");
  }
};

absl::Status WriteScenes(const std::string& folder, const SceneSet& set) {
  IJEPA_RETURN_IF_ERROR(ijepa::MakeFolders(absl::StrCat(folder, "/images")));
  std::string table = "path,class,count,depth\n";
  for (int64_t i = 0; i < set.count; ++i) {
    const Scene scene = RenderScene(set.seed, i, set.size);
    IJEPA_ASSIGN_OR_RETURN(const std::string jpeg, EncodeJpeg(scene.image, kJpegQuality));
    const std::string name = absl::StrFormat("images/%06d.jpg", i);
    IJEPA_RETURN_IF_ERROR(WriteNewFile(absl::StrCat(folder, "/", name), jpeg));
    absl::StrAppend(&table, name, ",", ShapeName(scene.labels.nearest_shape), ",",
                    scene.labels.count, ",", absl::StrFormat("%.4f\n", scene.labels.nearest_depth));
  }
  IJEPA_RETURN_IF_ERROR(WriteNewFile(absl::StrCat(folder, "/labels.csv"), table));
  IJEPA_RETURN_IF_ERROR(WriteNewFile(absl::StrCat(folder, "/", kStampName), set.Stamp()));
  return SyncFileSystem(folder);
}

// Makes room for a new set: an older one of ours goes, anything else stays and is an error.
absl::Status ClearPlace(const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(folder, error))) {
    return absl::OkStatus();
  }
  if (std::filesystem::exists(absl::StrCat(folder, "/", kStampName), error)) {
    return ijepa::RemoveTree(folder);
  }
  if (rmdir(folder.c_str()) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder, " exists and is no set of scenes; name a new folder"));
}

}  // namespace

Scene RenderScene(uint64_t seed, int64_t index, int size) {
  IJEPA_CHECK(size >= 16);
  const SceneLayout layout = DrawSceneLayout(seed, index);
  return {Render(layout.world, size), layout.labels};
}

absl::Status WriteSceneSet(const std::string& folder, uint64_t seed, int64_t count, int size) {
  if (count < 1 || size < 16) {
    return absl::InvalidArgumentError(absl::StrCat("scenes: count is ", count, ", size is ", size,
                                                   "; must be at least 1 and 16"));
  }
  std::string target = folder;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  const SceneSet set{seed, count, size};
  const absl::StatusOr<std::string> stamp = ijepa::ReadFile(absl::StrCat(target, "/", kStampName));
  if (stamp.ok() && *stamp == set.Stamp()) return absl::OkStatus();
  const std::string partial = absl::StrCat(target, ".partial-", getpid());
  IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(partial));
  absl::Status status = WriteScenes(partial, set);
  if (status.ok()) status = ClearPlace(target);
  if (status.ok()) status = ijepa::RenameDurably(partial, target);
  if (!status.ok()) ijepa::RemoveTree(partial).IgnoreError();
  return status;
}

}  // namespace jepa
