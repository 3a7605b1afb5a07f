#include "worker/daemon/rank_process.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "worker/daemon/network.h"
#include "worker/link/rank_folder.h"

namespace ijepa::worker {
namespace {

// Lines of the log that go with the record of the end.
constexpr size_t kTailLines = 20;
constexpr off_t kTailBytes = 16 << 10;
// What a shell says for a program that could not begin.
constexpr int kExitNotStarted = 127;

std::string PathIn(const std::string& folder, const char* file) {
  return absl::StrCat(folder, "/", file);
}

// Job ids become folder names: nothing else than letters, digits, '-' and '_'.
absl::Status CheckKey(const RankKey& key) {
  const bool plain = std::all_of(key.job_uid.begin(), key.job_uid.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_';
  });
  if (key.job_uid.empty() || key.job_uid.size() > 128 || !plain || key.generation < 1 ||
      key.rank < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", key.ToString(),
                     ": the job id must be 1 to 128 of [A-Za-z0-9_-], "
                     "generation >= 1, rank >= 0"));
  }
  return absl::OkStatus();
}

void SetTime(absl::Time now, v1::RankExit& exit) {
  *exit.mutable_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
}

// A key that cannot be a folder name has one folder for all of its kind, for the record.
std::string FolderOf(const std::string& ranks_folder, const v1::RankLaunch& launch) {
  const RankKey key = KeyOf(launch);
  return absl::StrCat(ranks_folder, "/", CheckKey(key).ok() ? key.ToString() : "refused");
}

absl::Status WriteRecord(const std::string& folder, const v1::RankExit& exit) {
  return WriteFileAtomically(PathIn(folder, link::kExitFile), exit.SerializeAsString());
}

std::optional<v1::RankExit> ReadRecord(const std::string& folder) {
  const absl::StatusOr<std::string> data = ReadFile(PathIn(folder, link::kExitFile));
  v1::RankExit exit;
  if (!data.ok() || !exit.ParseFromString(*data)) return std::nullopt;
  return exit;
}

// The control group that a rank's folder names, if it is there.
std::optional<Cgroup> GroupOf(const std::string& folder) {
  const absl::StatusOr<std::string> path = ReadFile(PathIn(folder, link::kCgroupFile));
  if (!path.ok()) return std::nullopt;
  absl::StatusOr<Cgroup> group = Cgroup::Open(*path);
  return group.ok() ? std::optional<Cgroup>(*std::move(group)) : std::nullopt;
}

}  // namespace

std::vector<std::string> LogTailLines(const std::string& path, size_t max_lines) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {};
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  const off_t begin = std::max<off_t>(0, size - kTailBytes);
  std::string text(static_cast<size_t>(size - begin), '\0');
  const ssize_t count = ::pread(fd.get(), text.data(), text.size(), begin);
  if (count <= 0) return {};
  text.resize(static_cast<size_t>(count));
  if (text.back() == '\n') text.pop_back();
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (begin > 0 && lines.size() > 1) lines.erase(lines.begin());  // Cut in its middle.
  if (lines.size() > max_lines)
    lines.erase(lines.begin(), lines.end() - static_cast<ptrdiff_t>(max_lines));
  return lines;
}

RankProcess::RankProcess(std::string folder, const v1::RankLaunch& launch)
    : folder_(std::move(folder)), key_(KeyOf(launch)), slot_(launch.slot()) {}

std::unique_ptr<RankProcess> RankProcess::Unstarted(const StartOptions& options,
                                                    const v1::RankLaunch& launch,
                                                    const v1::RankExit& exit) {
  auto rank = absl::WrapUnique(new RankProcess(FolderOf(options.ranks_folder, launch), launch));
  rank->exit_ = exit;
  // The record makes the next worker report the same; without it that one tries again.
  absl::Status stored = MakeFolders(rank->folder_);
  if (stored.ok()) {
    stored =
        WriteFileAtomically(PathIn(rank->folder_, link::kLaunchFile), launch.SerializeAsString());
  }
  if (stored.ok()) stored = WriteRecord(rank->folder_, exit);
  if (!stored.ok()) {
    LogWarning("no record kept rank=", rank->key_.ToString(), " ", stored.message());
  }
  return rank;
}

absl::Status RankProcess::Begin(const StartOptions& options, const v1::RankLaunch& launch) {
  IJEPA_RETURN_IF_ERROR(CheckKey(key_));
  IJEPA_RETURN_IF_ERROR(MakeFolders(folder_));
  IJEPA_RETURN_IF_ERROR(
      WriteFileAtomically(PathIn(folder_, link::kLaunchFile), launch.SerializeAsString()));
  const std::string log = PathIn(folder_, link::kLogFile);
  UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!output.valid()) return ErrnoStatus(errno, "opening", log);
  Spawn spawn;
  spawn.program = options.rank_binary;
  spawn.arguments = {"run", "--folder", folder_};
  spawn.environment = {absl::StrCat("OMP_NUM_THREADS=", std::max(1, launch.spec().cpu_threads()))};
  if (!options.visible_device.empty()) {
    spawn.environment.push_back(absl::StrCat("CUDA_VISIBLE_DEVICES=", options.visible_device));
    // Numbers as the driver has them, so that its errors are those of the rank's GPU.
    spawn.environment.push_back("CUDA_DEVICE_ORDER=PCI_BUS_ID");
  }
  const auto is_set = [](const std::string& name) { return std::getenv(name.c_str()) != nullptr; };
  for (std::string& variable : NcclVariables(options.network, launch.spec().network(), is_set)) {
    spawn.environment.push_back(std::move(variable));
  }
  spawn.output = output.get();
  spawn.ends_with_parent = options.ends_with_worker;
  MakeGroup(options.cgroup_base);
  const auto record = [this](const ProcessId& id) { return Record(id); };
  IJEPA_ASSIGN_OR_RETURN(id_, SpawnProcess(spawn, record));
  ours_ = true;
  absl::StatusOr<UniqueFd> pidfd = OpenPidfd(id_);
  // A process that cannot be watched must not run.
  if (!pidfd.ok()) SignalGroup(id_.pid, SIGKILL);
  IJEPA_ASSIGN_OR_RETURN(pidfd_, std::move(pidfd));
  return absl::OkStatus();
}

void RankProcess::MakeGroup(const std::string& base) {
  if (base.empty()) return;
  const std::string path = absl::StrCat(base, "/", key_.ToString());
  // Its name is kept before it is made, so that none is made that no folder names.
  const absl::Status named = WriteFileAtomically(PathIn(folder_, link::kCgroupFile), path);
  absl::StatusOr<Cgroup> group = named.ok() ? Cgroup::Make(path) : named;
  if (!group.ok()) {
    LogWarning("rank without a control group rank=", key_.ToString(), " ",
               group.status().message());
    return;
  }
  group_ = *std::move(group);
}

absl::Status RankProcess::Record(const ProcessId& id) {
  IJEPA_RETURN_IF_ERROR(
      WriteFileAtomically(PathIn(folder_, link::kPidFile), absl::StrCat(id.ToString(), "\n")));
  if (!group_) return absl::OkStatus();
  absl::Status added = group_->Add(id.pid);
  if (added.ok()) return added;
  LogWarning("rank without a control group rank=", key_.ToString(), " ", added.message());
  group_->Remove().IgnoreError();
  group_.reset();
  return absl::OkStatus();
}

std::unique_ptr<RankProcess> RankProcess::Start(const StartOptions& options,
                                                const v1::RankLaunch& launch, absl::Time now) {
  auto rank = absl::WrapUnique(new RankProcess(FolderOf(options.ranks_folder, launch), launch));
  const absl::Status begun = rank->Begin(options, launch);
  if (begun.ok()) return rank;
  v1::RankExit exit;
  exit.set_outcome(v1::RANK_OUTCOME_FAILED);
  exit.set_exit_code(kExitNotStarted);
  exit.set_status_code(absl::StatusCodeToString(begun.code()));
  exit.set_message(absl::StrCat("the rank could not be started: ", begun.message()));
  SetTime(now, exit);
  return Unstarted(options, launch, exit);
}

absl::StatusOr<std::unique_ptr<RankProcess>> RankProcess::Adopt(const std::string& folder) {
  const absl::StatusOr<std::string> launch_data = ReadFile(PathIn(folder, link::kLaunchFile));
  const absl::StatusOr<std::string> pid_data = ReadFile(PathIn(folder, link::kPidFile));
  std::optional<v1::RankExit> record = ReadRecord(folder);
  if (!pid_data.ok() && !record) return absl::NotFoundError("no process was started");
  absl::StatusOr<ProcessId> id =
      pid_data.ok() ? ProcessId::Parse(*pid_data) : absl::StatusOr<ProcessId>(ProcessId{});
  v1::RankLaunch launch;
  if (!launch_data.ok() || !launch.ParseFromString(*launch_data) || !id.ok() ||
      !CheckKey(KeyOf(launch)).ok()) {
    if (const std::optional<Cgroup> group = GroupOf(folder)) group->Kill().IgnoreError();
    if (id.ok() && OpenPidfd(*id).ok()) SignalGroup(id->pid, SIGKILL);
    return absl::DataLossError("launch.pb or pid cannot be read");
  }
  auto rank = absl::WrapUnique(new RankProcess(folder, launch));
  rank->id_ = *std::move(id);
  rank->group_ = GroupOf(folder);
  if (rank->id_.pid != 0) {
    absl::StatusOr<UniqueFd> pidfd = OpenPidfd(rank->id_);
    if (pidfd.ok()) {
      rank->pidfd_ = *std::move(pidfd);
      return rank;
    }
  }
  if (record && rank->id_.pid == 0) rank->exit_ = *std::move(record);
  return rank;
}

void RankProcess::Reap() {
  if (!ours_) return;
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(id_.pid, &status, WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped == id_.pid) wait_status_ = status;
}

void RankProcess::Poll(absl::Time now) {
  if (exit_) return;
  if (pidfd_.valid()) {
    if (!HasEnded(pidfd_.get())) return;
    Reap();
    pidfd_.Reset();
  }
  // The slot is free only when nothing of the rank lives.
  if (AnythingLives()) return KillAll();
  exit_ = MakeRecord(now);
  if (absl::Status removed = group_ ? group_->Remove() : absl::OkStatus(); !removed.ok()) {
    LogWarning("a control group stays rank=", key_.ToString(), " ", removed.message());
  }
  if (absl::Status stored = WriteRecord(folder_, *exit_); !stored.ok()) {
    LogWarning("no record kept rank=", key_.ToString(), " ", stored.message());
  }
}

bool RankProcess::AnythingLives() const {
  if (group_ && group_->IsPopulated()) return true;
  return GroupIsOurs() && GroupIsAlive(id_.pid);
}

void RankProcess::KillAll() {
  if (group_) {
    if (absl::Status killed = group_->Kill(); !killed.ok()) {
      LogWarning("rank not killed by its control group rank=", key_.ToString(), " ",
                 killed.message());
    }
  }
  if (GroupIsOurs()) SignalGroup(id_.pid, SIGKILL);
}

bool RankProcess::GroupIsOurs() const {
  if (id_.boot_id != BootId()) return false;
  // A pid is not given anew while a group has its number: another process with it has another
  // group.
  const absl::StatusOr<ProcessId> leader = ProcessId::Of(id_.pid);
  return !leader.ok() || *leader == id_;
}

v1::RankExit RankProcess::MakeRecord(absl::Time now) const {
  const std::optional<v1::RankExit> own = ReadRecord(folder_);
  v1::RankExit exit = own.value_or(v1::RankExit());
  if (!own) {
    exit.set_outcome(v1::RANK_OUTCOME_FAILED);
    SetTime(now, exit);
  }
  // What the rank says of itself stands: its record is its last act.
  if (!own && wait_status_ && WIFSIGNALED(*wait_status_)) {
    exit.set_signal(WTERMSIG(*wait_status_));
    exit.set_message(
        absl::StrCat("killed by signal ", exit.signal(), " (", ::strsignal(exit.signal()), ")"));
  } else if (!own && wait_status_) {
    exit.set_exit_code(WEXITSTATUS(*wait_status_));
    exit.set_message(absl::StrCat("exited with code ", exit.exit_code(), " without a record"));
  } else if (!own) {
    exit.set_message("vanished: it ended while no worker watched, and left no record");
  }
  if (killed() && !own) exit.set_message(absl::StrCat("killed by the worker: ", kill_reason_));
  exit.clear_log_tail();
  for (const std::string& line : LogTailLines(PathIn(folder_, link::kLogFile), kTailLines)) {
    exit.add_log_tail(ToUtf8(line));
  }
  return exit;
}

void RankProcess::Terminate() {
  if (pidfd_.valid()) ::kill(id_.pid, SIGTERM);
}

void RankProcess::Kill(const std::string& reason) {
  if (exit_) return;
  if (!killed()) kill_reason_ = reason;
  if (pidfd_.valid()) KillAll();
}

}  // namespace ijepa::worker
