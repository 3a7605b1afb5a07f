// See coordinator_process.h.
#include "tests/fakes/coordinator_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ijepa/v1/coordinator.grpc.pb.h"

extern char** environ;

namespace ijepa {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "coordinator_process: %s\n", what.c_str());
  std::exit(1);
}

// Of `whom`: client or worker.
std::string ReadAddress(const std::string& path, const char* whom) {
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json.value(whom, "") : "";
}

bool Answers(const std::string& address) {
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  auto stub = v1::JobService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::ListJobsRequest request;
  request.set_page_size(1);
  v1::ListJobsResponse response;
  return stub->ListJobs(&context, request, &response).ok();
}

}  // namespace

CoordinatorProcess::CoordinatorProcess(const std::string& data_dir, const std::string& listen) {
  // Programs are in bin, tests beside it.
  const auto self = std::filesystem::canonical("/proc/self/exe").parent_path();
  const std::string program = (self.parent_path() / "bin" / "ijepa-coordinator").string();
  const std::string addresses = data_dir + "/addresses.json";
  std::filesystem::create_directories(data_dir);
  std::filesystem::remove(addresses);
  std::vector<std::string> words = {program,
                                    "--listen",
                                    listen,
                                    "--worker-listen",
                                    "127.0.0.1:0",
                                    "--auth",
                                    "none",
                                    "--metrics-listen",
                                    "none",
                                    "--data-dir",
                                    data_dir,
                                    "--checkpoint-root",
                                    data_dir + "/checkpoints"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string log = data_dir + "/coordinator.log";
  posix_spawn_file_actions_addopen(&files, 2, log.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0644);
  const absl::Time start = absl::Now();
  const int failed =
      posix_spawn(&pid_, program.c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) Die("cannot start " + program);
  while ((address_ = ReadAddress(addresses, "client")).empty() || !Answers(address_)) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0 || absl::Now() > start + kPatience) {
      Die("the coordinator does not serve; see " + log);
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  seconds_to_serve_ = absl::ToDoubleSeconds(absl::Now() - start);
  worker_address_ = ReadAddress(addresses, "worker");
}

CoordinatorProcess::~CoordinatorProcess() { Kill(); }

void CoordinatorProcess::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

double CoordinatorProcess::CpuSeconds() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string word;
  // The name, which may hold spaces, ends with a parenthesis; the times are 11 words behind it.
  while (file >> word && word.back() != ')') {
  }
  for (int skipped = 0; skipped < 11; ++skipped) file >> word;
  double user = 0;
  double system = 0;
  file >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int64_t CoordinatorProcess::ResidentBytes() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  int64_t size = 0;
  int64_t resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace ijepa
