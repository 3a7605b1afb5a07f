// See cgroup.h. Files and their meaning: the kernel's Documentation/admin-guide/cgroup-v2.rst.
#include "worker/daemon/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace ijepa::worker {
namespace {

constexpr char kKillFile[] = "cgroup.kill";
constexpr char kEventsFile[] = "cgroup.events";
constexpr char kProcsFile[] = "cgroup.procs";

std::string FileIn(const std::string& group, const char* file) {
  return absl::StrCat(group, "/", file);
}

// A file of the kernel: no temporary file, no truncation.
absl::Status WriteControl(const std::string& path, absl::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "opening", path);
  return WriteAll(fd.get(), text, path);
}

bool SaysPopulated(const std::string& events) { return absl::StrContains(events, "populated 1"); }

std::vector<std::string> GroupsBelow(const std::string& group) {
  std::vector<std::string> below;
  std::error_code error;
  for (std::filesystem::directory_iterator it(group, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) below.push_back(it->path().string());
  }
  return below;
}

struct Mount {
  std::string root;   // Of the hierarchy, that the mount shows.
  std::string point;  // Where it shows it.
};

// The first mount of cgroup2, if any: fields 4 and 5 of a line whose type, after " - ", is cgroup2.
absl::StatusOr<Mount> FindMount(const std::string& mountinfo) {
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadFile(mountinfo));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2 || !absl::StartsWith(halves[1], "cgroup2 ")) continue;
    const std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() > 4) return Mount{fields[3], fields[4]};
  }
  return absl::NotFoundError("no cgroup2 is mounted");
}

// The folder of the group that this process is in.
absl::StatusOr<std::string> OwnGroup(const CgroupSources& sources) {
  IJEPA_ASSIGN_OR_RETURN(const Mount mount, FindMount(sources.mountinfo));
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadFile(sources.own_cgroup));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "0::")) continue;
    const std::string root = mount.root == "/" ? "" : mount.root;
    if (!absl::ConsumePrefix(&line, root)) {
      return absl::NotFoundError(
          absl::StrCat("this process is in ", line, ", which ", mount.point, " does not show"));
    }
    return std::string(absl::StripSuffix(absl::StrCat(mount.point, line), "/"));
  }
  return absl::NotFoundError(absl::StrCat(sources.own_cgroup, " names no group of cgroup2"));
}

absl::StatusOr<std::string> BaseIn(const std::string& parent, const std::string& state_dir) {
  struct stat info {};
  if (::stat(state_dir.c_str(), &info) != 0) return ErrnoStatus(errno, "looking at", state_dir);
  const std::string base = absl::StrFormat("%s/ijepa-worker-%x-%d", parent,
                                           static_cast<uint64_t>(info.st_dev), info.st_ino);
  IJEPA_ASSIGN_OR_RETURN(const Cgroup group, Cgroup::Make(base));
  if (::access(FileIn(base, kKillFile).c_str(), W_OK) != 0) {
    ::rmdir(base.c_str());
    return absl::NotFoundError(
        absl::StrCat(parent, " is not of a cgroup2 mount with cgroup.kill (Linux 5.14)"));
  }
  return group.path();
}

}  // namespace

absl::StatusOr<std::string> MakeCgroupBase(const std::string& setting, const std::string& state_dir,
                                           const CgroupSources& sources, std::string& why) {
  if (setting == "none") {
    why = "cgroup is none";
    return std::string();
  }
  absl::StatusOr<std::string> base = setting == "auto" ? OwnGroup(sources) : setting;
  if (base.ok()) base = BaseIn(*base, state_dir);
  if (base.ok()) return base;
  why = std::string(base.status().message());
  if (setting == "auto") return std::string();
  return absl::FailedPreconditionError(
      absl::StrCat("cgroup is ", setting, ": ", why, "; name another, or auto, or none"));
}

absl::StatusOr<Cgroup> Cgroup::Make(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "making the control group", path);
  }
  return Cgroup(path);
}

absl::StatusOr<Cgroup> Cgroup::Open(const std::string& path) {
  if (::access(FileIn(path, kEventsFile).c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no control group ", path));
  }
  return Cgroup(path);
}

absl::Status Cgroup::Add(pid_t pid) const {
  return WriteControl(FileIn(path_, kProcsFile), absl::StrCat(pid));
}

bool Cgroup::IsPopulated() const {
  const absl::StatusOr<std::string> events = ReadFile(FileIn(path_, kEventsFile));
  return events.ok() && SaysPopulated(*events);
}

absl::Status Cgroup::Kill() const { return WriteControl(FileIn(path_, kKillFile), "1"); }

bool Cgroup::AwaitEmpty(absl::Duration timeout) const {
  const absl::Duration deadline = Clock::Real().Monotonic() + timeout;
  const UniqueFd fd(::open(FileIn(path_, kEventsFile).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return true;
  char text[256];
  while (true) {
    const ssize_t count = ::pread(fd.get(), text, sizeof(text), 0);
    if (count <= 0 || !SaysPopulated(std::string(text, static_cast<size_t>(count)))) return true;
    const absl::Duration left = deadline - Clock::Real().Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    // The kernel says by POLLPRI that the file changed since it was read.
    pollfd changed = {fd.get(), POLLPRI, 0};
    ::poll(&changed, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
  }
}

absl::Status Cgroup::Remove() const {
  for (const std::string& below : GroupsBelow(path_)) {
    IJEPA_RETURN_IF_ERROR(Cgroup(below).Remove());
  }
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == EBUSY) {
    return absl::FailedPreconditionError(absl::StrCat("control group ", path_, " is not empty"));
  }
  return ErrnoStatus(errno, "removing the control group", path_);
}

int ClearCgroups(const std::string& base, const std::set<std::string>& keep,
                 absl::Duration timeout) {
  int found = 0;
  for (const std::string& path : GroupsBelow(base)) {
    if (keep.contains(path)) continue;
    ++found;
    const absl::StatusOr<Cgroup> group = Cgroup::Open(path);
    if (!group.ok()) continue;
    absl::Status cleared = group->Kill();
    if (cleared.ok()) group->AwaitEmpty(timeout);
    cleared.Update(group->Remove());
    if (cleared.ok()) {
      LogInfo("cleared a control group that an earlier worker left cgroup=", path);
    } else {
      LogWarning("a control group stays cgroup=", path, " ", cleared.message());
    }
  }
  return found;
}

}  // namespace ijepa::worker
