// See slurm_backend.h.
#include "coordinator/backends/slurm_backend.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "coordinator/backends/slurm_words.h"
#include "coordinator/backends/subprocess.h"

namespace ijepa::coordinator {
namespace {

class SlurmBackend : public Backend {
 public:
  SlurmBackend(SlurmSettings settings, BackendSettings common, const std::string& cluster,
               UniqueFd interrupt)
      : settings_(std::move(settings)),
        common_(std::move(common)),
        prefix_(absl::StrCat("ijepa-", cluster, "-")),
        interrupt_(std::move(interrupt)) {}

  const std::string& name() const override { return name_; }
  BackendCapabilities capabilities() const override { return {.warns = true}; }

  absl::Status Validate(const v1::JobSpec& spec) const override {
    absl::Duration limit;
    if (!absl::ParseDuration(spec.slurm().time_limit(), &limit)) return absl::OkStatus();
    if (limit > 2 * settings_.warn) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("slurm.time_limit is ", spec.slurm().time_limit(),
                     "; must be more than twice the ", absl::FormatDuration(settings_.warn),
                     " in which ranks save before it ends (backends.slurm.warn_seconds)"));
  }

  absl::StatusOr<std::string> Allocate(const AllocationRequest& request,
                                       absl::Duration within) override {
    IJEPA_RETURN_IF_ERROR(MakeFolders(settings_.log_dir));
    std::vector<std::string> arguments = SbatchArguments(request, settings_, prefix_);
    arguments.insert(arguments.begin(), "sbatch");
    IJEPA_ASSIGN_OR_RETURN(
        const std::string output,
        Call(std::move(arguments), within, SlurmScript(request, settings_, common_)));
    // "1234" or "1234;cluster".
    const std::string handle =
        std::string(absl::StripAsciiWhitespace(output.substr(0, output.find(';'))));
    int64_t number = 0;
    if (absl::SimpleAtoi(handle, &number)) return handle;
    return absl::UnavailableError(absl::StrCat("sbatch answered \"", output, "\", not a number"));
  }

  absl::Status Kill(const ObservedAllocation& allocation, absl::Duration within) override {
    return Call({"scancel", "--quiet", allocation.handle}, within).status();
  }

  absl::StatusOr<std::vector<ObservedAllocation>> Reconcile(absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(
        const std::string output,
        Call({"squeue", "--noheader", "--me", "--states=all", "-O", kSqueueFormat}, within));
    return ParseSqueue(output, prefix_);
  }

  void Interrupt() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(interrupt_.get(), &one, sizeof(one));
  }

  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(const std::string output,
                           Call({"sinfo", "--noheader", "--Node", "--format=%N|%T|%E"}, within));
    return ParseSinfo(output);
  }

 private:
  // What the program prints; what it complains of as a status.
  absl::StatusOr<std::string> Call(std::vector<std::string> arguments, absl::Duration within,
                                   std::string input = "") {
    ProgramCall call;
    const std::string program = arguments[0];
    if (!settings_.bin.empty()) arguments[0] = absl::StrCat(settings_.bin, "/", program);
    call.arguments = std::move(arguments);
    call.input = std::move(input);
    call.within = within;
    call.interrupt_fd = interrupt_.get();
    if (!settings_.conf.empty()) call.environment["SLURM_CONF"] = settings_.conf;
    absl::StatusOr<ProgramResult> result = RunProgram(call);
    if (absl::IsNotFound(result.status())) {
      return absl::UnavailableError(
          absl::StrCat(result.status().message(), "; install SLURM's client programs on the ",
                       "coordinator's machine, or name their folder in backends.slurm.bin"));
    }
    IJEPA_RETURN_IF_ERROR(result.status());
    if (result->exit_code != 0) return SlurmError(program, result->errors);
    return std::move(result->output);
  }

  const std::string name_ = kSlurm;
  const SlurmSettings settings_;
  const BackendSettings common_;
  // Of the names of our SLURM jobs.
  const std::string prefix_;
  // Readable once Interrupt was called.
  const UniqueFd interrupt_;
};

}  // namespace

absl::StatusOr<SlurmSettings> ReadSlurmSettings(const BackendSettings& settings) {
  SlurmSettings slurm;
  std::error_code error;
  slurm.worker =
      (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "ijepa-worker")
          .string();
  slurm.log_dir = absl::StrCat(settings.shared_folder, "/slurm-logs");
  const std::map<std::string, std::string*> texts = {
      {"bin", &slurm.bin},         {"conf", &slurm.conf},
      {"worker", &slurm.worker},   {"state_dir", &slurm.state_dir},
      {"log_dir", &slurm.log_dir}, {"partition", &slurm.partition},
      {"account", &slurm.account}, {"qos", &slurm.qos}};
  for (const auto& [key, value] : settings.own) {
    if (const auto text = texts.find(key); text != texts.end()) {
      *text->second = value;
      continue;
    }
    int seconds = 0;
    if (key != "warn_seconds" || !absl::SimpleAtoi(value, &seconds) || seconds < 1 ||
        seconds > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("backends.slurm.", key, " is ", value,
                                                     "; must be a whole number in [1, 65535]"));
    }
    slurm.warn = absl::Seconds(seconds);
  }
  for (const auto& [key, text] : texts) {
    const bool folder = key == "worker" || key == "state_dir" || key == "log_dir" || key == "bin";
    if (folder && !text->empty() && (*text)[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("backends.slurm.", key, " is ", *text, "; must be an absolute path"));
    }
  }
  return slurm;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeSlurmBackend(const BackendSettings& settings,
                                                          const std::string& cluster) {
  IJEPA_ASSIGN_OR_RETURN(SlurmSettings slurm, ReadSlurmSettings(settings));
  UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!interrupt.valid()) return ErrnoStatus(errno, "making", "an eventfd");
  return std::make_unique<SlurmBackend>(std::move(slurm), settings, cluster, std::move(interrupt));
}

}  // namespace ijepa::coordinator
