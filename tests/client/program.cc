// See program.h.
#include "tests/client/program.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/check.h"

namespace ijepa::client {
namespace {

constexpr unsigned kLongestRunSeconds = 60;

UniqueFd MakeFile(const std::string& text) {
  UniqueFd file(memfd_create("ijepactl-test", MFD_CLOEXEC));
  IJEPA_CHECK(file.valid() && WriteAll(file.get(), text, "memfd").ok());
  IJEPA_CHECK(lseek(file.get(), 0, SEEK_SET) == 0);
  return file;
}

std::string ReadRest(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    // A terminal whose last writer has gone answers EIO.
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const ProgramOptions& options)
    : terminal_(options.terminal) {
  std::vector<std::string> words = {IJEPA_CTL};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC",
                                          "TERM=xterm",
                                          absl::StrCat("IJEPA_COORDINATOR=", options.coordinator)};
  environment.insert(environment.end(), options.environment.begin(), options.environment.end());
  std::vector<char*> argv = Pointers(words);
  std::vector<char*> envp = Pointers(environment);
  UniqueFd in = MakeFile(options.input);
  UniqueFd slave;
  if (terminal_) {
    winsize size{};
    size.ws_col = 100;
    size.ws_row = 40;
    int master = -1;
    int other = -1;
    IJEPA_CHECK(openpty(&master, &other, nullptr, nullptr, &size) == 0);
    out_.Reset(master);
    slave.Reset(other);
  } else {
    out_ = MakeFile("");
    err_ = MakeFile("");
  }
  int out = terminal_ ? slave.get() : out_.get();
  int err = terminal_ ? slave.get() : err_.get();
  pid_ = fork();
  IJEPA_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    dup2(in.get(), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    // A program that hangs ends with its test.
    alarm(kLongestRunSeconds);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
}

void Program::Signal(int number) { kill(pid_, number); }

bool Program::WaitForOutput(const std::string& text) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::string printed(1 << 16, '\0');
  while (std::chrono::steady_clock::now() < deadline) {
    ssize_t got = pread(out_.get(), printed.data(), printed.size(), 0);
    if (printed.substr(0, std::max<ssize_t>(0, got)).find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

Output Program::Wait() {
  Output output;
  if (terminal_) output.out = ReadRest(out_.get());
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0) IJEPA_CHECK(errno == EINTR);
  output.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  if (!terminal_) {
    lseek(out_.get(), 0, SEEK_SET);
    lseek(err_.get(), 0, SEEK_SET);
    output.out = ReadRest(out_.get());
    output.err = ReadRest(err_.get());
  }
  return output;
}

Output RunProgram(const std::vector<std::string>& arguments, const ProgramOptions& options) {
  return Program(arguments, options).Wait();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace ijepa::client
