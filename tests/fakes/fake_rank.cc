// A rank without a trainer: does what the script in its launch's spec.name says, over the real
// link. Words, separated by spaces: step:N (reports step N) · log:N (writes N numbered lines) ·
// note:CODE · probe:STEP · put:KEY=VALUE · get:KEY (prints the value) · commit:STEP · drain (waits
// for a drain) · wait:FILE (waits until the file is there) · exit:CODE (without a record) · abort ·
// fork (leaves a child behind) · leave (leaves a child in a session of its own behind and prints
// its pid as "left PID") · fail:MESSAGE · print-env:NAME. Ends COMPLETED at the end of the script,
// DRAINED if a drain was asked for.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/link/rank_folder.h"
#include "worker/rank/exit_record.h"
#include "worker/rank/link_host.h"
#include "worker/rank/stack_signal.h"

namespace ijepa::rank {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(60);

void Print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// Longer than any test; what nobody kills does not stay for ever.
[[noreturn]] void WaitToBeKilled() {
  ::alarm(300);
  while (true) ::pause();
}

absl::Status WaitUntil(LinkHost& host, const auto& condition) {
  const absl::Time deadline = absl::Now() + kTimeout;
  while (!condition()) {
    IJEPA_RETURN_IF_ERROR(host.Alive());
    if (absl::Now() > deadline) return absl::DeadlineExceededError("the script waits too long");
    absl::SleepFor(absl::Milliseconds(5));
  }
  return absl::OkStatus();
}

absl::Status Do(LinkHost& host, const std::string& verb, const std::string& argument) {
  int64_t number = 0;
  [[maybe_unused]] const bool numeric = absl::SimpleAtoi(argument, &number);
  if (verb == "step") {
    jepa::StepReport report;
    report.step = number;
    report.loss = 1.0 / static_cast<double>(number + 1);
    host.ReportStep(report);
  } else if (verb == "log") {
    for (int64_t i = 0; i < number; ++i) Print(absl::StrCat("line ", i));
  } else if (verb == "note") {
    host.Note(argument, "a note", 0);
  } else if (verb == "probe") {
    jepa::ProbeReport report;
    report.step = number;
    host.ReportProbe(report);
  } else if (verb == "put") {
    const std::pair<std::string, std::string> pair = absl::StrSplit(argument, '=');
    return host.Put(pair.first, pair.second);
  } else if (verb == "get") {
    IJEPA_ASSIGN_OR_RETURN(const std::string value, host.Get(argument, kTimeout));
    Print(absl::StrCat("got ", argument, "=", value));
  } else if (verb == "commit") {
    jepa::CheckpointInfo checkpoint;
    checkpoint.step = number;
    checkpoint.path = absl::StrCat("/checkpoints/", number);
    IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> deletable,
                           host.Commit(checkpoint, kTimeout));
    Print(absl::StrCat("committed ", number, " deletable ", deletable.size()));
  } else if (verb == "drain") {
    return WaitUntil(host, [&host] { return host.DrainRequested(); });
  } else if (verb == "wait") {
    return WaitUntil(host, [&] { return ::access(argument.c_str(), F_OK) == 0; });
  } else if (verb == "exit") {
    std::_Exit(static_cast<int>(number));
  } else if (verb == "abort") {
    std::abort();
  } else if (verb == "fork") {
    if (::fork() == 0) WaitToBeKilled();
  } else if (verb == "leave") {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setsid();
      WaitToBeKilled();
    }
    Print(absl::StrCat("left ", child));
  } else if (verb == "fail") {
    return absl::OutOfRangeError(argument);
  } else if (verb == "print-env") {
    const char* value = std::getenv(argument.c_str());
    Print(absl::StrCat(argument, "=", value == nullptr ? "(unset)" : value));
  } else {
    return absl::InvalidArgumentError(absl::StrCat("no verb ", verb));
  }
  return absl::OkStatus();
}

int Run(const std::string& folder) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const UniqueFd drain(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  const absl::StatusOr<std::string> data = ReadFile(absl::StrCat(folder, "/", link::kLaunchFile));
  v1::RankLaunch launch;
  if (!data.ok() || !launch.ParseFromString(*data)) return kExitUsage;
  LinkHost::Options options;
  options.folder = folder;
  options.rank = launch.rank();
  options.generation = launch.generation();
  options.drain_fd = drain.get();
  options.step_interval = absl::Milliseconds(1);
  options.outbox.resend_after = absl::Milliseconds(200);
  absl::StatusOr<std::unique_ptr<LinkHost>> host = LinkHost::Start(std::move(options));
  if (!host.ok()) return kExitUsage;
  absl::Status status;
  for (absl::string_view word : absl::StrSplit(launch.spec().name(), ' ', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits(':', 1));
    status = Do(**host, parts.first, parts.second);
    if (!status.ok()) break;
  }
  if (status.ok()) status = (*host)->Flush(kTimeout);
  const absl::Time now = Clock::Real().Now();
  const v1::RankExit record =
      status.ok() ? SuccessRecord((*host)->DrainRequested(), (*host)->last_step(), now)
                  : FailureRecord(status, (*host)->last_step(), now);
  if (!WriteExitRecord(folder, record).ok()) return kExitUsage;
  std::_Exit(record.exit_code());
}

}  // namespace
}  // namespace ijepa::rank

int main(int argc, char** argv) {
  ijepa::rank::InstallStackSignal();
  if (argc != 4 || std::string(argv[1]) != "run") return 2;
  return ijepa::rank::Run(argv[3]);
}
