// See stack_dump.h.
#include "worker/daemon/stack_dump.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/link/rank_folder.h"

namespace ijepa::worker {
namespace {

// One short line of a file of /proc; "?" where it cannot be read.
std::string ProcLine(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return "?";
  return std::string(absl::StripAsciiWhitespace(text->substr(0, 200)));
}

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::vector<pid_t> threads;
  std::error_code error;
  for (std::filesystem::directory_iterator it(absl::StrCat("/proc/", pid, "/task"), error), end;
       !error && it != end; it.increment(error)) {
    pid_t thread = 0;
    if (absl::SimpleAtoi(it->path().filename().string(), &thread)) threads.push_back(thread);
  }
  std::sort(threads.begin(), threads.end());
  if (threads.size() > kMaxStackThreads) threads.resize(kMaxStackThreads);
  return threads;
}

// "thread 12 ijepa-rank state S in futex_wait_queue, system call 202".
std::string DescribeThread(pid_t pid, pid_t thread) {
  const std::string folder = absl::StrCat("/proc/", pid, "/task/", thread, "/");
  const std::string stat = ProcLine(folder + "stat");
  const size_t end = stat.rfind(')');
  const std::string state = end + 2 < stat.size() ? stat.substr(end + 2, 1) : "?";
  const std::vector<std::string> call =
      absl::StrSplit(ProcLine(folder + "syscall"), absl::MaxSplits(' ', 1));
  return absl::StrCat("thread ", thread, " ", ProcLine(folder + "comm"), " state ", state, " in ",
                      ProcLine(folder + "wchan"), ", system call ", call[0], "\n");
}

// Whether the process has a handler for the signal; without one it would end.
bool Catches(pid_t pid, int signal) {
  const absl::StatusOr<std::string> status = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!status.ok()) return false;
  constexpr absl::string_view kField = "SigCgt:";
  const size_t at = status->find(std::string(kField));
  if (at == std::string::npos) return false;
  const std::string rest = status->substr(at + kField.size(), 40);
  const absl::string_view hex =
      absl::StripAsciiWhitespace(absl::string_view(rest).substr(0, rest.find('\n')));
  uint64_t mask = 0;
  return absl::SimpleHexAtoi(hex, &mask) && (mask >> (signal - 1) & 1) != 0;
}

}  // namespace

absl::Status RequestStacks(pid_t pid, const std::string& log) {
  const std::vector<pid_t> threads = ThreadsOf(pid);
  if (threads.empty()) return absl::NotFoundError(absl::StrCat("process ", pid, " is gone"));
  const bool catches = Catches(pid, link::kStackSignal);
  std::string text = absl::StrCat("stacks of process ", pid, ", ", threads.size(), " threads",
                                  catches ? "" : "; it cannot write them itself", "\n");
  for (const pid_t thread : threads) absl::StrAppend(&text, DescribeThread(pid, thread));
  const UniqueFd fd(::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, "opening", log);
  IJEPA_RETURN_IF_ERROR(WriteAll(fd.get(), text, log));
  if (!catches) return absl::OkStatus();
  for (const pid_t thread : threads) {
    ::syscall(SYS_tgkill, pid, thread, link::kStackSignal);  // One that has ended needs none.
  }
  return absl::OkStatus();
}

}  // namespace ijepa::worker
