// Readers take no lock: the file is replaced whole. The lock only keeps two from listing at once.
#include "worker/jepa/data/index_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/index_file.h"
#include "worker/jepa/data/source_list.h"

namespace jepa {
namespace {

constexpr absl::Duration kLookForLock = absl::Milliseconds(50);
constexpr size_t kMaxStem = 60;

// FNV-1a (Fowler, Noll, Vo).
uint64_t HashOf(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

// The last part of the path to be known by, and a hash of all of it.
std::string FileFor(const std::string& folder, const std::string& path) {
  std::string stem(BaseName(path).substr(0, kMaxStem));
  for (char& c : stem) c = absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return absl::StrFormat("%s/%s-%016x.index", folder, stem, HashOf(path));
}

class IndexStore {
 public:
  IndexStore(const std::string& path, const IndexStoreOptions& options)
      : path_(path),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : ijepa::Clock::Real()) {}

  absl::StatusOr<FoundIndex> Find() {
    if (options_.folder.empty()) return Listed();
    found_.file = FileFor(options_.folder, path_);
    if (TakeKept()) return std::move(found_);
    if (const absl::Status made = ijepa::MakeFolders(options_.folder); !made.ok()) {
      return ListWithoutKeeping(made);
    }
    const absl::StatusOr<ijepa::UniqueFd> lock = Lock();
    if (!lock.ok()) return ListWithoutKeeping(lock.status());
    if (TakeKept()) return std::move(found_);  // Another has listed meanwhile.
    const absl::Time begin = clock_.Now();
    IJEPA_RETURN_IF_ERROR(List());
    Keep(begin);
    return std::move(found_);
  }

 private:
  bool TakeKept() {
    absl::StatusOr<SourceIndex> kept = Load();
    if (kept.ok()) {
      const absl::Status current = CheckCurrent(*kept, options_.listing.threads);
      if (current.ok()) {
        found_.index = *std::move(kept);
        found_.was_kept = found_.is_kept = true;
        found_.was_corrupt = false;
        found_.why_listed.clear();
        return true;
      }
      kept = current;
    }
    found_.was_corrupt = absl::IsDataLoss(kept.status());
    found_.why_listed = std::string(kept.status().message());
    return false;
  }

  absl::StatusOr<SourceIndex> Load() const {
    absl::StatusOr<std::string> bytes = ijepa::ReadFile(found_.file);
    if (absl::IsNotFound(bytes.status())) return absl::NotFoundError("no index was kept");
    IJEPA_RETURN_IF_ERROR(bytes.status());
    absl::StatusOr<SourceIndex> index = DecodeIndex(*bytes, path_);
    if (index.ok()) return index;
    return absl::Status(index.status().code(),
                        absl::StrCat(found_.file, " ", index.status().message()));
  }

  absl::Status List() {
    IJEPA_ASSIGN_OR_RETURN(found_.index, BuildIndex(path_, options_.listing));
    return absl::OkStatus();
  }

  absl::StatusOr<FoundIndex> Listed() {
    IJEPA_RETURN_IF_ERROR(List());
    return std::move(found_);
  }

  absl::StatusOr<FoundIndex> ListWithoutKeeping(const absl::Status& why) {
    found_.why_not_kept = std::string(why.message());
    return Listed();
  }

  // Two processes on nodes whose storage does not share locks list both; the result is the same.
  absl::StatusOr<ijepa::UniqueFd> Lock() {
    const std::string path = found_.file + ".lock";
    ijepa::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd.valid()) return ijepa::ErrnoStatus(errno, "locking", path);
    const absl::Duration begin = clock_.Monotonic();
    while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return ijepa::ErrnoStatus(errno, "locking", path);
      if (clock_.Monotonic() - begin >= options_.patience) {
        return absl::DeadlineExceededError(absl::StrCat("another process has held ", path, " for ",
                                                        absl::FormatDuration(options_.patience),
                                                        "; look at what it does"));
      }
      absl::SleepFor(kLookForLock);
    }
    return fd;
  }

  // `begin`: when listing began.
  void Keep(absl::Time begin) {
    const int64_t settled = absl::ToUnixNanos(begin - kIndexSettles);
    for (const Stamp& stamp : found_.index.stamps) {
      if (std::max(stamp.modified, stamp.changed) < settled) continue;
      found_.is_too_new = true;
      found_.why_not_kept = absl::StrCat(stamp.path, " changed less than ",
                                         absl::FormatDuration(kIndexSettles), " before");
      return;
    }
    const absl::Status written =
        ijepa::WriteFileAtomically(found_.file, EncodeIndex(path_, found_.index));
    found_.is_kept = written.ok();
    found_.why_not_kept = std::string(written.message());
  }

  const std::string& path_;
  const IndexStoreOptions& options_;
  ijepa::Clock& clock_;
  FoundIndex found_;
};

}  // namespace

absl::StatusOr<FoundIndex> FindIndex(const std::string& path, const IndexStoreOptions& options) {
  return IndexStore(path, options).Find();
}

}  // namespace jepa
