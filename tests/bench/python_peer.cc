#include "tests/bench/python_peer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace jepa::bench {

std::unique_ptr<PythonPeer> PythonPeer::Start(const std::vector<std::string>& command) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return nullptr;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  if (error != 0) return nullptr;
  std::unique_ptr<PythonPeer> peer(new PythonPeer(pid, fdopen(to[1], "w"), fdopen(from[0], "r")));
  char line[64] = "";
  if (fgets(line, sizeof(line), peer->out_) == nullptr || strcmp(line, "ready\n") != 0) {
    return nullptr;
  }
  return peer;
}

PythonPeer::~PythonPeer() {
  fclose(in_);
  fclose(out_);
  waitpid(pid_, nullptr, 0);
}

std::optional<Timing> PythonPeer::Ask(const std::string& question) {
  fprintf(in_, "%s\n", question.c_str());
  fflush(in_);
  Timing timing;
  char line[128] = "";
  if (fgets(line, sizeof(line), out_) == nullptr) return std::nullopt;
  if (sscanf(line, "%lf %lf", &timing.wall_seconds, &timing.cpu_seconds) != 2) return std::nullopt;
  return timing;
}

}  // namespace jepa::bench
