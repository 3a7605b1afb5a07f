// ijepa-coordinator: owns jobs, queue, nodes and the registry of checkpoints.
#include <grpc/support/log.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>

#include "common/log.h"
#include "coordinator/server.h"
#include "coordinator/settings.h"

namespace ijepa::coordinator {
namespace {

constexpr int kExitFailed = 1;
// Each arena of glibc keeps its own free memory; few threads of this program allocate much.
constexpr int kMallocArenas = 2;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "ijepa-coordinator: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

// gRPC's own lines are for its developers; what matters to us comes as a status.
void LogOfGrpc(gpr_log_func_args* args) {
  Log(LogLevel::kDebug, absl::StrCat("grpc: ", args->message));
}

int Main(int argc, char** argv) {
  mallopt(M_ARENA_MAX, kMallocArenas);
  const absl::StatusOr<Settings> settings = ReadSettings(argc, argv);
  if (!settings.ok()) return Fail(settings.status());
  InitLog("coordinator");
  gpr_set_log_function(LogOfGrpc);
  // Before any thread, so that all of them leave these signals to sigwait.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(*settings, Clock::Real());
  if (!server.ok()) return Fail(server.status());
  LogInfo("serving version=", IJEPA_VERSION, " epoch=", (*server)->state().epoch(),
          " client=", (*server)->client_address(), " worker=", (*server)->worker_address(),
          " metrics=", (*server)->metrics_address());
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  LogInfo("stopping signal=", signal_number);
  (*server)->Shutdown();
  return 0;
}

}  // namespace
}  // namespace ijepa::coordinator

int main(int argc, char** argv) { return ijepa::coordinator::Main(argc, argv); }
