// See subprocess.h.
#include "coordinator/backends/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/pipe.h"
#include "common/status_macros.h"

extern char** environ;

namespace ijepa::coordinator {
namespace {

// Between looks at whether a program has exited that prints nothing more.
constexpr absl::Duration kSlice = absl::Milliseconds(20);

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentOf(const ProgramCall& call) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (call.environment.count(text.substr(0, text.find('='))) == 0) environment.push_back(text);
  }
  for (const auto& [name, value] : call.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

// The program in a process group of its own, with no signal blocked.
absl::StatusOr<pid_t> Spawn(const ProgramCall& call, const Pipe& in, const Pipe& out,
                            const Pipe& err) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.write.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> arguments = call.arguments;
  std::vector<std::string> environment = EnvironmentOf(call);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes,
                                   Pointers(arguments).data(), Pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoStatus(error, "starting", call.arguments[0]);
  return pid;
}

// Takes what is there. False at the end.
bool Drain(int fd, std::string& text) {
  std::array<char, 65536> buffer;
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  const size_t room = kMaxProgramOutput - std::min(kMaxProgramOutput, text.size());
  text.append(buffer.data(), std::min(room, static_cast<size_t>(count)));
  return count > 0;
}

// The running program and the ends of its pipes.
class Running {
 public:
  Running(const ProgramCall& call, pid_t pid, UniqueFd in, UniqueFd out, UniqueFd err)
      : call_(call), pid_(pid), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {
    ::fcntl(in_.get(), F_SETFL, O_NONBLOCK);
    if (call.input.empty()) in_.Reset();
  }

  absl::StatusOr<ProgramResult> Finish() {
    const absl::Duration end = Clock::Real().Monotonic() + call_.within;
    while (out_.valid() || err_.valid() || !Exited()) {
      const absl::Duration left = end - Clock::Real().Monotonic();
      if (left <= absl::ZeroDuration()) {
        Kill();
        return absl::DeadlineExceededError(
            absl::StrCat(call_.arguments[0], " did not answer within ",
                         absl::FormatDuration(absl::Trunc(call_.within, absl::Milliseconds(1)))));
      }
      if (!Step(left)) {
        Kill();
        return absl::CancelledError(absl::StrCat(call_.arguments[0], " was interrupted"));
      }
    }
    if (WIFSIGNALED(status_)) {
      return absl::InternalError(
          absl::StrCat(call_.arguments[0], " was killed by signal ", WTERMSIG(status_)));
    }
    result_.exit_code = WEXITSTATUS(status_);
    return std::move(result_);
  }

 private:
  bool Exited() {
    if (!exited_) exited_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return exited_;
  }

  void Kill() {
    ::kill(-pid_, SIGKILL);
    if (!exited_) ::waitpid(pid_, &status_, 0);
    exited_ = true;
  }

  // False: it is interrupted.
  bool Step(absl::Duration left) {
    std::vector<pollfd> fds = {{call_.interrupt_fd, POLLIN, 0},
                               {out_.get(), POLLIN, 0},
                               {err_.get(), POLLIN, 0},
                               {in_.get(), POLLOUT, 0}};
    if (!out_.valid() && !err_.valid()) left = std::min(left, kSlice);
    const int most = static_cast<int>(
        std::max<int64_t>(1, absl::ToInt64Milliseconds(std::min(left, absl::Seconds(60)))));
    if (::poll(fds.data(), fds.size(), most) < 0) return errno == EINTR;
    if (fds[0].revents != 0) return false;
    if (fds[1].revents != 0 && !Drain(out_.get(), result_.output)) out_.Reset();
    if (fds[2].revents != 0 && !Drain(err_.get(), result_.errors)) err_.Reset();
    if (fds[3].revents != 0) Feed();
    return true;
  }

  void Feed() {
    const ssize_t count = ::write(in_.get(), call_.input.data() + fed_, call_.input.size() - fed_);
    if (count > 0) fed_ += static_cast<size_t>(count);
    const bool over = fed_ == call_.input.size();
    if (over || (count < 0 && errno != EAGAIN && errno != EINTR)) in_.Reset();
  }

  const ProgramCall& call_;
  const pid_t pid_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  size_t fed_ = 0;
  bool exited_ = false;
  int status_ = 0;
  ProgramResult result_;
};

}  // namespace

absl::StatusOr<ProgramResult> RunProgram(const ProgramCall& call) {
  IJEPA_ASSIGN_OR_RETURN(Pipe in, MakePipe());
  IJEPA_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  IJEPA_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  IJEPA_ASSIGN_OR_RETURN(const pid_t pid, Spawn(call, in, out, err));
  in.read.Reset();
  out.write.Reset();
  err.write.Reset();
  return Running(call, pid, std::move(in.write), std::move(out.read), std::move(err.read)).Finish();
}

}  // namespace ijepa::coordinator
