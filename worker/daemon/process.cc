#include "worker/daemon/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/pipe.h"
#include "common/status_macros.h"

extern char** environ;

namespace ijepa::worker {
namespace {

// A rank is killed before the daemons when memory runs out; range of the kernel: [-1000, 1000].
constexpr char kOomScoreAdjustment[] = "500";

// Fields of /proc/PID/stat from the third (state) on; the second may hold spaces and parentheses.
std::vector<std::string> StatFields(pid_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return {};
  const size_t end = stat->rfind(')');
  if (end == std::string::npos || end + 2 > stat->size()) return {};
  return absl::StrSplit(stat->substr(end + 2), ' ');
}

// Positions in StatFields: the fields 3, 5, 14, 15, 22 and 24 of proc(5).
constexpr size_t kState = 0;
constexpr size_t kGroup = 2;
constexpr size_t kUserTime = 11;
constexpr size_t kSystemTime = 12;
constexpr size_t kStartTime = 19;
constexpr size_t kRss = 21;

int64_t Number(const std::vector<std::string>& fields, size_t index) {
  int64_t value = 0;
  if (index >= fields.size() || !absl::SimpleAtoi(fields[index], &value)) return 0;
  return value;
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& changes) {
  std::map<std::string, std::string> merged;
  const auto add = [&merged](const std::string& entry) {
    merged[entry.substr(0, entry.find('='))] = entry;
  };
  for (char** entry = environ; *entry != nullptr; ++entry) add(*entry);
  for (const std::string& entry : changes) add(entry);
  std::vector<std::string> result;
  for (auto& [name, entry] : merged) result.push_back(std::move(entry));
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Everything the child needs, made before the fork: after it only async-signal-safe calls are
// allowed, because other threads may have held locks.
struct ChildPlan {
  const char* program;
  char** arguments;
  char** environment;
  int output;
  int go;     // Read end; a byte says that the parent has recorded this process.
  int error;  // Write end; takes errno of a failed exec. Closed by the exec.
  bool ends_with_parent;
};

[[noreturn]] void RunChild(const ChildPlan& plan) {
  const auto fail = [&plan] {
    const int error = errno;
    [[maybe_unused]] const ssize_t written = ::write(plan.error, &error, sizeof(error));
    ::_exit(127);
  };
  ::setsid();
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 32; ++signal) ::sigaction(signal, &standard, nullptr);
  // SLURM gives its warning to every process of a step. It is meant for the worker, which drains.
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Before the read: a parent that died already has closed the pipe.
  if (plan.ends_with_parent && ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail();
  char byte;
  ssize_t count;
  do {
    count = ::read(plan.go, &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count != 1) ::_exit(127);  // The worker died or could not record this process.
  const int input = ::open("/dev/null", O_RDONLY);
  if (input < 0 || ::dup2(input, STDIN_FILENO) < 0 || ::dup2(plan.output, STDOUT_FILENO) < 0 ||
      ::dup2(plan.output, STDERR_FILENO) < 0) {
    fail();
  }
  const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0) {
    // Not allowed in some containers; then the kernel chooses by size, as usual.
    [[maybe_unused]] const ssize_t w =
        ::write(oom, kOomScoreAdjustment, sizeof(kOomScoreAdjustment) - 1);
  }
  ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execve(plan.program, plan.arguments, plan.environment);
  fail();
  ::_exit(127);
}

// The errno of a failed exec, or 0 once the exec has closed the other end of the pipe.
int AwaitExec(int fd) {
  int error = 0;
  ssize_t count;
  do {
    count = ::read(fd, &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  return count == sizeof(error) ? error : 0;
}

void WaitFor(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

std::string ProcessId::ToString() const { return absl::StrCat(pid, " ", start_time, " ", boot_id); }

absl::StatusOr<ProcessId> ProcessId::Parse(absl::string_view text) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
  ProcessId id;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &id.pid) || id.pid <= 1 ||
      !absl::SimpleAtoi(words[1], &id.start_time)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not PID START_TIME BOOT_ID of a process"));
  }
  id.boot_id = words[2];
  return id;
}

absl::StatusOr<ProcessId> ProcessId::Of(pid_t pid) {
  const std::vector<std::string> fields = StatFields(pid);
  if (fields.size() <= kStartTime) return absl::NotFoundError(absl::StrCat("no process ", pid));
  return ProcessId{pid, Number(fields, kStartTime), BootId()};
}

absl::StatusOr<ProcessId> SpawnProcess(const Spawn& spawn, const RecordProcess& record) {
  if (::access(spawn.program.c_str(), X_OK) != 0) {
    return ErrnoStatus(errno, "starting", spawn.program);
  }
  IJEPA_ASSIGN_OR_RETURN(Pipe go, MakePipe());
  IJEPA_ASSIGN_OR_RETURN(Pipe error, MakePipe());
  std::vector<std::string> arguments = {spawn.program};
  arguments.insert(arguments.end(), spawn.arguments.begin(), spawn.arguments.end());
  std::vector<std::string> environment = MergedEnvironment(spawn.environment);
  std::vector<char*> argument_pointers = Pointers(arguments);
  std::vector<char*> environment_pointers = Pointers(environment);
  const ChildPlan plan = {
      spawn.program.c_str(), argument_pointers.data(), environment_pointers.data(), spawn.output,
      go.read.get(),         error.write.get(),        spawn.ends_with_parent};
  // The child holds only its own ends of the pipes: the end of a pipe must mean the parent's death.
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "forking for", spawn.program);
  if (pid == 0) {
    ::close(go.write.get());
    ::close(error.read.get());
    RunChild(plan);
  }
  error.write.Reset();
  go.read.Reset();
  absl::StatusOr<ProcessId> id = ProcessId::Of(pid);
  absl::Status recorded = id.ok() ? record(*id) : id.status();
  if (recorded.ok() && ::write(go.write.get(), "g", 1) != 1) {
    recorded = ErrnoStatus(errno, "releasing", spawn.program);
  }
  go.write.Reset();
  if (!recorded.ok()) {
    WaitFor(pid);
    return recorded;
  }
  if (const int exec_error = AwaitExec(error.read.get()); exec_error != 0) {
    WaitFor(pid);
    return ErrnoStatus(exec_error, "starting", spawn.program);
  }
  return id;
}

absl::StatusOr<UniqueFd> OpenPidfd(const ProcessId& id) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, id.pid, 0)));
  if (!fd.valid()) return ErrnoStatus(errno, "watching process", absl::StrCat(id.pid));
  // The descriptor is of whoever has the pid now; the check after it makes sure of whom.
  const absl::StatusOr<ProcessId> actual = ProcessId::Of(id.pid);
  if (!actual.ok() || *actual != id) {
    return absl::NotFoundError(absl::StrCat("process ", id.ToString(), " is gone"));
  }
  return fd;
}

bool HasEnded(int pidfd) {
  pollfd poll = {pidfd, POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

void SignalGroup(pid_t group, int signal) {
  if (group > 1) ::kill(-group, signal);
}

bool GroupIsAlive(pid_t group) {
  while (::waitpid(-group, nullptr, WNOHANG) > 0) {
  }
  if (::kill(-group, 0) != 0 && errno == ESRCH) return false;
  // Where nobody reaps, a zombie keeps its group for ever; it holds no memory and no device.
  std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), &::closedir);
  if (proc == nullptr) return true;
  while (const dirent* entry = ::readdir(proc.get())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    const std::vector<std::string> fields = StatFields(pid);
    if (Number(fields, kGroup) == group && fields[kState] != "Z" && fields[kState] != "X") {
      return true;
    }
  }
  return false;
}

void ReapStrays(const std::set<pid_t>& keep) {
  while (true) {
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return;
    // A rank's own end is its RankProcess's to take; what waits behind it comes next time.
    if (ended.si_pid == 0 || keep.contains(ended.si_pid)) return;
    ::waitpid(ended.si_pid, nullptr, WNOHANG);
  }
}

ProcessUsage UsageOf(pid_t pid) {
  const std::vector<std::string> fields = StatFields(pid);
  ProcessUsage usage;
  usage.rss_bytes = Number(fields, kRss) * ::sysconf(_SC_PAGESIZE);
  usage.cpu_seconds = static_cast<double>(Number(fields, kUserTime) + Number(fields, kSystemTime)) /
                      static_cast<double>(::sysconf(_SC_CLK_TCK));
  return usage;
}

std::string BootId() {
  const absl::StatusOr<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  return id.ok() ? std::string(absl::StripAsciiWhitespace(*id)) : "unknown";
}

}  // namespace ijepa::worker
