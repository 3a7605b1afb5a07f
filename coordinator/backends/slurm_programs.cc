// SLURM through its programs, each with a deadline.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "coordinator/backends/slurm_transport.h"
#include "coordinator/backends/slurm_words.h"
#include "coordinator/backends/subprocess.h"

namespace ijepa::coordinator {
namespace {

class SlurmPrograms : public SlurmTransport {
 public:
  SlurmPrograms(const SlurmSettings& settings, UniqueFd interrupt)
      : bin_(settings.bin), conf_(settings.conf), interrupt_(std::move(interrupt)) {}

  absl::StatusOr<std::string> Submit(const std::vector<std::string>& options,
                                     const std::string& script, absl::Duration within) override {
    std::vector<std::string> arguments = {"sbatch", "--parsable"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    IJEPA_ASSIGN_OR_RETURN(const std::string output, Call(std::move(arguments), within, script));
    // "1234" or "1234;cluster".
    const std::string number =
        std::string(absl::StripAsciiWhitespace(output.substr(0, output.find(';'))));
    int64_t value = 0;
    if (absl::SimpleAtoi(number, &value)) return number;
    return absl::FailedPreconditionError(
        absl::StrCat("sbatch answered \"", output, "\", not a number: see slurm.options"));
  }

  absl::Status Cancel(const std::string& number, absl::Duration within) override {
    return Call({"scancel", "--quiet", number}, within).status();
  }

  absl::StatusOr<std::vector<ObservedAllocation>> List(const std::string& prefix,
                                                       absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(
        const std::string output,
        Call({"squeue", "--noheader", "--me", "--states=all", "-O", kSqueueFormat}, within));
    return ParseSqueue(output, prefix);
  }

  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(const std::string output,
                           Call({"sinfo", "--noheader", "--Node", "--format=%N|%T|%E"}, within));
    return ParseSinfo(output);
  }

  void Interrupt() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(interrupt_.get(), &one, sizeof(one));
  }

 private:
  // What the program prints; what it complains of as a status.
  absl::StatusOr<std::string> Call(std::vector<std::string> arguments, absl::Duration within,
                                   std::string input = "") {
    ProgramCall call;
    const std::string program = arguments[0];
    if (!bin_.empty()) arguments[0] = absl::StrCat(bin_, "/", program);
    call.arguments = std::move(arguments);
    call.input = std::move(input);
    call.within = within;
    call.interrupt_fd = interrupt_.get();
    if (!conf_.empty()) call.environment["SLURM_CONF"] = conf_;
    absl::StatusOr<ProgramResult> result = RunProgram(call);
    if (absl::IsNotFound(result.status())) {
      return absl::UnavailableError(
          absl::StrCat(result.status().message(), "; install SLURM's client programs on the ",
                       "coordinator's machine, name their folder in backends.slurm.bin, or set ",
                       "backends.slurm.rest to a slurmrestd"));
    }
    IJEPA_RETURN_IF_ERROR(result.status());
    if (result->exit_code != 0) return SlurmError(program, result->errors);
    return std::move(result->output);
  }

  // Folder of the programs; empty: PATH.
  const std::string bin_;
  const std::string conf_;
  // Readable once Interrupt was called.
  const UniqueFd interrupt_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SlurmTransport>> MakeSlurmPrograms(const SlurmSettings& settings) {
  UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!interrupt.valid()) return ErrnoStatus(errno, "making", "an eventfd");
  return std::make_unique<SlurmPrograms>(settings, std::move(interrupt));
}

}  // namespace ijepa::coordinator
