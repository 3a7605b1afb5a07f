// See supervised.h.
#include "client/supervised.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace ijepa::client {
namespace {

constexpr absl::Duration kPause = absl::Seconds(1);
constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr int kCannotExecute = 127;

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) return absl::StrCat("was killed by signal ", WTERMSIG(wait_status));
  return absl::StrCat("exited with code ", WEXITSTATUS(wait_status));
}

// In the child: only calls that are safe after fork.
[[noreturn]] void Execute(char* const* arguments, int log) {
  // Signals that the parent blocks for itself would stay blocked.
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // A Ctrl-C at the terminal is for the parent, which decides what follows.
  ::setpgid(0, 0);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::execvp(arguments[0], arguments);
  ::_exit(kCannotExecute);
}

}  // namespace

Supervised::Supervised(Options options)
    : options_(std::move(options)), thread_([this] { Run(); }) {}

Supervised::~Supervised() {
  if (!Stop(SIGTERM, kGrace)) Stop(SIGKILL, kGrace);
  thread_.join();
}

bool Supervised::Stop(int signal, absl::Duration wait) {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  Signal(signal);
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), [this] { return ended_; });
}

absl::Status Supervised::status() {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

// mutex_ is held, so the process has not been waited for and its number is its own.
void Supervised::Signal(int signal) {
  if (pid_ > 0) ::kill(pid_, signal);
}

pid_t Supervised::Spawn() {
  std::vector<char*> arguments;
  for (const std::string& part : options_.command) {
    arguments.push_back(const_cast<char*>(part.c_str()));
  }
  arguments.push_back(nullptr);
  const UniqueFd log(
      ::open(options_.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  const pid_t pid = ::fork();
  if (pid == 0) Execute(arguments.data(), log.get());
  return pid;
}

void Supervised::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (int starts = 0; !stopping_; ++starts) {
    pid_ = Spawn();
    if (pid_ < 0) {
      status_ = ErrnoStatus(errno, "starting", options_.command[0]);
      break;
    }
    const pid_t pid = pid_;
    lock.unlock();
    // Only waits: the process stays a zombie, so that Signal never meets another with its number.
    siginfo_t info;
    while (::waitid(P_PID, pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    lock.lock();
    int wait_status = 0;
    ::waitpid(pid, &wait_status, 0);
    pid_ = -1;
    if (stopping_) break;
    if (starts == options_.max_restarts) {
      status_ = absl::UnavailableError(absl::StrCat(options_.command[0], " ",
                                                    DescribeEnd(wait_status), ", after ", starts,
                                                    " restarts; see ", options_.log_file));
      break;
    }
    changed_.wait_for(lock, absl::ToChronoNanoseconds(kPause), [this] { return stopping_; });
  }
  ended_ = true;
  changed_.notify_all();
  const bool given_up = !status_.ok();
  lock.unlock();
  if (given_up && options_.on_given_up) options_.on_given_up();
}

}  // namespace ijepa::client
