#include "tests/worker/worker_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "worker/daemon/cgroup.h"

namespace ijepa::worker {

WorkerProcess::WorkerProcess(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {WORKER};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execv(WORKER, pointers.data());
    ::_exit(126);
  }
}

WorkerProcess::~WorkerProcess() { Stop(SIGKILL); }

int WorkerProcess::Stop(int signal) {
  int status = 0;
  if (pid_ <= 0) return status;
  if (signal != 0) ::kill(pid_, signal);
  ::waitpid(pid_, &status, 0);
  pid_ = 0;
  return status;
}

void KillRanks(const std::string& state_dir) {
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(state_dir + "/ranks", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    std::ifstream file(it->path() / "pid");
    pid_t pid = 0;
    if (file >> pid && pid > 1) ::kill(-pid, SIGKILL);
  }
  std::ifstream about(state_dir + "/worker.json");
  const auto json = nlohmann::json::parse(about, nullptr, /*allow_exceptions=*/false);
  const std::string base = json.is_object() ? json.value("cgroup", "") : "";
  if (base.empty()) return;
  ClearCgroups(base, {}, absl::Seconds(10));
  ::rmdir(base.c_str());
}

}  // namespace ijepa::worker
