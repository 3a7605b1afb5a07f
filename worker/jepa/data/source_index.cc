// Parts are planned from patterns and manifests, then folders are listed level by level and tars
// one by one, many at a time.
#include "worker/jepa/data/source_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/source_list.h"
#include "worker/jepa/data/sources.h"
#include "worker/jepa/data/task_threads.h"

namespace jepa {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// The parts of `path` and of what it names, still without the files of folders and tars.
class Planner {
 public:
  explicit Planner(SourceIndex& index) : index_(index) {}

  absl::Status Add(const std::string& path, const std::string& prefix) {
    if (IsPattern(path)) return AddPattern(path, prefix);
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return ijepa::ErrnoStatus(errno, "opening images", path);
    const bool is_folder = S_ISDIR(info.st_mode);
    if (!is_folder && !S_ISREG(info.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is neither a folder nor a tar file; name one of these"));
    }
    if (!is_folder && IsManifestName(path)) return AddManifest(path, prefix, info);
    index_.parts.push_back({!is_folder, path, prefix, {}});
    return absl::OkStatus();
  }

 private:
  absl::Status AddNested(const std::string& path, const std::string& prefix) {
    return Add(path, absl::StrCat(prefix, BaseName(path), ":"));
  }

  absl::Status AddPattern(const std::string& pattern, const std::string& prefix) {
    IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ExpandPattern(pattern));
    index_.expansions.push_back({pattern, paths});
    for (const std::string& path : paths) IJEPA_RETURN_IF_ERROR(AddNested(path, prefix));
    return absl::OkStatus();
  }

  absl::Status AddManifest(const std::string& path, const std::string& prefix,
                           const struct stat& info) {
    index_.stamps.push_back(StampOf(path, info));
    IJEPA_ASSIGN_OR_RETURN(const std::vector<ManifestLine> lines, ReadManifest(path));
    const std::string folder = FolderOf(path);
    bool in_list = false;
    for (const ManifestLine& line : lines) {
      if (line.many) {
        IJEPA_RETURN_IF_ERROR(AddNested(Within(folder, line.path), prefix));
      } else {
        if (!in_list) index_.parts.push_back({false, folder, prefix, {}});
        index_.parts.back().files.Add(line.path, {});
      }
      in_list = !line.many;
    }
    return absl::OkStatus();
  }

  SourceIndex& index_;
};

// Fills the parts that have no files yet.
class Lister {
 public:
  Lister(SourceIndex& index, const IndexOptions& options) : index_(index), options_(options) {}

  absl::Status Run() {
    std::vector<size_t> tars;
    std::vector<size_t> trees;
    for (size_t i = 0; i < index_.parts.size(); ++i) {
      if (index_.parts[i].files.size() > 0) continue;
      (index_.parts[i].is_tar ? tars : trees).push_back(i);
    }
    progress_.known = static_cast<int64_t>(tars.size() + trees.size());
    IJEPA_RETURN_IF_ERROR(ListTrees(trees));
    IJEPA_RETURN_IF_ERROR(ListTars(tars));
    for (const SourcePart& part : index_.parts) {
      if (part.files.size() == 0) return NoImages(part.path);
    }
    return absl::OkStatus();
  }

 private:
  struct Folder {
    size_t part = 0;
    std::string name;  // Within the part: "" or "dogs/".
  };

  absl::Status Each(size_t count, const std::function<absl::Status(size_t)>& work) {
    const int64_t before = progress_.done;
    return RunTasks({.tasks = static_cast<int64_t>(count),
                     .threads = options_.threads,
                     .work = [&](int64_t i, int) { return work(static_cast<size_t>(i)); },
                     .on_progress =
                         [&](int64_t done) {
                           progress_.done = before + done;
                           if (options_.on_progress) options_.on_progress(progress_);
                         }});
  }

  absl::Status ListTrees(const std::vector<size_t>& parts) {
    std::vector<Folder> level;
    for (const size_t part : parts) level.push_back({part, ""});
    std::vector<std::set<std::pair<uint64_t, uint64_t>>> visited(index_.parts.size());
    while (!level.empty()) {
      std::vector<FolderListing> listings(level.size());
      IJEPA_RETURN_IF_ERROR(Each(level.size(), [&](size_t i) {
        return ListFolder(absl::StrCat(index_.parts[level[i].part].path, "/", level[i].name),
                          listings[i]);
      }));
      std::vector<Folder> next;
      for (size_t i = 0; i < level.size(); ++i) {
        const bool is_new =
            visited[level[i].part].insert({listings[i].device, listings[i].inode}).second;
        if (is_new) Take(level[i], listings[i], next);
      }
      level = std::move(next);
      progress_.known += static_cast<int64_t>(level.size());
    }
    for (const size_t part : parts) index_.parts[part].files.SortAndKeepLast();
    return absl::OkStatus();
  }

  void Take(const Folder& folder, FolderListing& listing, std::vector<Folder>& next) {
    FileList& files = index_.parts[folder.part].files;
    index_.stamps.push_back(std::move(listing.stamp));
    for (const std::string& file : listing.images) {
      files.Add(absl::StrCat(folder.name, file), {});
    }
    std::sort(listing.folders.begin(), listing.folders.end());
    for (const std::string& inner : listing.folders) {
      next.push_back({folder.part, absl::StrCat(folder.name, inner, "/")});
    }
  }

  absl::Status ListTars(const std::vector<size_t>& parts) {
    std::vector<Stamp> stamps(parts.size());
    IJEPA_RETURN_IF_ERROR(Each(parts.size(), [&](size_t i) {
      SourcePart& part = index_.parts[parts[i]];
      return ListTar(part.path, part.files, stamps[i]);
    }));
    for (Stamp& stamp : stamps) index_.stamps.push_back(std::move(stamp));
    return absl::OkStatus();
  }

  SourceIndex& index_;
  const IndexOptions& options_;
  IndexProgress progress_;
};

class JoinedSource final : public ImageSource {
 public:
  // Returns what the system says of a tar that cannot be opened.
  absl::Status Add(SourcePart part) {
    std::unique_ptr<ImageSource> source;
    if (part.is_tar) {
      IJEPA_ASSIGN_OR_RETURN(source, OpenTar(part.path, std::move(part.files), tars_));
    } else {
      source = OpenFiles(part.path, std::move(part.files));
    }
    const int64_t end = size() + source->size();
    parts_.push_back({std::move(part.prefix), std::move(source), end});
    return absl::OkStatus();
  }
  int64_t size() const override { return parts_.empty() ? 0 : parts_.back().end; }
  std::string name(int64_t index) const override {
    const Part& part = PartOf(index);
    return absl::StrCat(part.prefix, part.source->name(Local(part, index)));
  }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    const Part& part = PartOf(index);
    return part.source->ReadInto(Local(part, index), bytes);
  }

 private:
  struct Part {
    std::string prefix;
    std::unique_ptr<ImageSource> source;
    int64_t end;  // Index after its last image.
  };
  const Part& PartOf(int64_t index) const {
    return *std::upper_bound(parts_.begin(), parts_.end(), index,
                             [](int64_t i, const Part& part) { return i < part.end; });
  }
  static int64_t Local(const Part& part, int64_t index) {
    return index - (part.end - part.source->size());
  }

  TarFiles tars_;  // Before the parts, which read them.
  std::vector<Part> parts_;
};

absl::Status Changed(absl::string_view path, absl::string_view how) {
  return absl::FailedPreconditionError(absl::StrCat(path, " ", how));
}

absl::Status CheckStamp(const Stamp& stamp) {
  struct stat info;
  if (stat(stamp.path.c_str(), &info) != 0) return Changed(stamp.path, "is not there any more");
  if (StampOf(stamp.path, info) == stamp) return absl::OkStatus();
  return Changed(stamp.path, "has changed");
}

}  // namespace

absl::Status NoImages(absl::string_view path) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, " has no ", kImageEndings, " file; check data.path and data.root_path"));
}

Stamp StampOf(const std::string& path, const struct stat& info) {
  const auto nanoseconds = [](const timespec& time) {
    return int64_t{time.tv_sec} * kSecond + time.tv_nsec;
  };
  return {path, int64_t{info.st_size}, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

int64_t SourceIndex::images() const {
  int64_t images = 0;
  for (const SourcePart& part : parts) images += part.files.size();
  return images;
}

absl::StatusOr<SourceIndex> BuildIndex(const std::string& path, const IndexOptions& options) {
  SourceIndex index;
  IJEPA_RETURN_IF_ERROR(Planner(index).Add(path, ""));
  IJEPA_RETURN_IF_ERROR(Lister(index, options).Run());
  if (index.parts.empty()) return NoImages(path);
  return index;
}

absl::Status CheckCurrent(const SourceIndex& index, int threads) {
  for (const Expansion& expansion : index.expansions) {
    const auto paths = ExpandPattern(expansion.pattern);
    if (!paths.ok() || *paths != expansion.paths) {
      return Changed(expansion.pattern, "stands for other paths");
    }
  }
  return RunTasks(
      {.tasks = static_cast<int64_t>(index.stamps.size()),
       .threads = threads,
       .work = [&](int64_t i, int) { return CheckStamp(index.stamps[static_cast<size_t>(i)]); },
       .on_progress = nullptr});
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenIndex(SourceIndex index) {
  auto joined = std::make_unique<JoinedSource>();
  for (SourcePart& part : index.parts) IJEPA_RETURN_IF_ERROR(joined->Add(std::move(part)));
  return joined;
}

}  // namespace jepa
