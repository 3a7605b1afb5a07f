// See fault_injector.h.
#include "worker/jepa/fault_injector.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "worker/jepa/checkpoint/manifest.h"

namespace jepa {
namespace {

constexpr char kWrite[] = "write a tensor";

struct SignalFault {
  FaultKind kind;
  int signal;
  const char* name;
};
constexpr SignalFault kSignals[] = {{FaultKind::kKill, SIGKILL, "kill"},
                                    {FaultKind::kSegfault, SIGSEGV, "segfault"},
                                    {FaultKind::kStop, SIGSTOP, "stop"}};

// Names outlive the process that is about to end, in its log.
void Announce(absl::string_view name, int64_t step) {
  ijepa::LogWarning("injected fault kind=", name, " step=", step);
}

}  // namespace

FaultActions FaultActions::Real() {
  FaultActions actions;
  actions.raise = [](int signal) { ::kill(::getpid(), signal); };
  actions.hang = [] {
    while (true) ::pause();
  };
  actions.sleep = [](absl::Duration time) { absl::SleepFor(time); };
  return actions;
}

FaultInjector::FaultInjector(const TrainConfig& config, FaultActions actions)
    : actions_(std::move(actions)) {
  for (const InjectedFault& fault : config.faults.inject) {
    const bool now = fault.attempt == 0 || fault.attempt == config.generation;
    if (now && fault.rank == config.rank) faults_.push_back({fault});
  }
}

const InjectedFault* FaultInjector::Find(FaultKind kind, int64_t step) const {
  for (const Fault& entry : faults_) {
    const InjectedFault& fault = entry.fault;
    const bool lasts = kind == FaultKind::kSlow || kind == FaultKind::kNan;
    const int64_t end = fault.step + (lasts ? fault.steps : 1);
    if (fault.kind == kind && step >= fault.step && step < end) return &fault;
  }
  return nullptr;
}

void FaultInjector::BeforeStep(int64_t step) {
  for (const SignalFault& entry : kSignals) {
    if (Find(entry.kind, step) == nullptr) continue;
    Announce(entry.name, step);
    actions_.raise(entry.signal);
  }
  if (Find(FaultKind::kDeadlock, step) != nullptr) {
    Announce("deadlock", step);
    actions_.hang();
  }
}

double FaultInjector::GradientFactor(int64_t step) const {
  if (Find(FaultKind::kNan, step) == nullptr) return 1;
  Announce("nan", step);
  return std::numeric_limits<double>::quiet_NaN();
}

void FaultInjector::AfterWork(int64_t step, absl::Duration took) const {
  const InjectedFault* slow = Find(FaultKind::kSlow, step);
  if (slow != nullptr) actions_.sleep(took * (slow->factor - 1));
}

bool FaultInjector::Strike(FaultKind kind, int64_t step) {
  for (Fault& entry : faults_) {
    if (entry.fault.kind != kind || entry.struck || step < entry.fault.step) continue;
    entry.struck = true;
    return true;
  }
  return false;
}

absl::Status FaultInjector::BeforeOperation(absl::string_view operation) {
  if (operation != kWrite) return absl::OkStatus();
  if (Strike(FaultKind::kNoSpace, saving_step_)) {
    Announce("enospc", saving_step_);
    return ijepa::ErrnoStatus(ENOSPC, "writing", "a part (injected fault)");
  }
  if (Strike(FaultKind::kIoError, saving_step_)) {
    Announce("eio", saving_step_);
    return ijepa::ErrnoStatus(EIO, "writing", "a part (injected fault)");
  }
  return absl::OkStatus();
}

absl::Status FaultInjector::BeforeCommit(const CheckpointInfo& checkpoint) {
  if (!Strike(FaultKind::kTornCheckpoint, checkpoint.step)) return absl::OkStatus();
  Announce("torn_checkpoint", checkpoint.step);
  const std::string part = absl::StrCat(checkpoint.path, "/", PartName(0));
  std::error_code error;
  const auto size = std::filesystem::file_size(part, error);
  if (!error) std::filesystem::resize_file(part, size / 2, error);
  return error ? ijepa::ErrnoStatus(error.value(), "cutting", part) : absl::OkStatus();
}

}  // namespace jepa
