// See slurm_backend.h.
#include "coordinator/backends/slurm_backend.h"

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/backends/slurm_transport.h"

namespace ijepa::coordinator {
namespace {

class SlurmBackend : public Backend {
 public:
  SlurmBackend(SlurmSettings settings, BackendSettings common, const std::string& cluster,
               std::unique_ptr<SlurmTransport> transport)
      : settings_(std::move(settings)),
        common_(std::move(common)),
        prefix_(absl::StrCat("ijepa-", cluster, "-")),
        transport_(std::move(transport)) {}

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
    return transport_->Submit(SbatchArguments(request, settings_, prefix_),
                              SlurmScript(request, settings_, common_), within);
  }

  absl::Status Kill(const ObservedAllocation& allocation, absl::Duration within) override {
    return transport_->Cancel(allocation.handle, within);
  }

  absl::StatusOr<std::vector<ObservedAllocation>> Reconcile(absl::Duration within) override {
    return transport_->List(prefix_, within);
  }

  void Interrupt() override { transport_->Interrupt(); }

  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) override {
    return transport_->Nodes(within);
  }

 private:
  const std::string name_ = kSlurm;
  const SlurmSettings settings_;
  const BackendSettings common_;
  // Of the names of our SLURM jobs.
  const std::string prefix_;
  const std::unique_ptr<SlurmTransport> transport_;
};

// Whether the host of "http://HOST[:PORT]" is this machine.
bool IsLoopback(absl::string_view url) {
  absl::ConsumePrefix(&url, "http://");
  for (const absl::string_view host : {"127.0.0.1", "localhost", "[::1]"}) {
    absl::string_view rest = url;
    const bool is_it = absl::ConsumePrefix(&rest, host);
    if (is_it && (rest.empty() || rest[0] == ':' || rest[0] == '/')) {
      return !absl::StrContains(rest, "@");
    }
  }
  return false;
}

// The four keys of slurmrestd.
absl::Status CheckRest(SlurmSettings& slurm) {
  const std::string at = "backends.slurm.rest";
  if (slurm.rest.empty()) {
    for (const std::string& other :
         {slurm.rest_token_file, slurm.rest_user, slurm.rest_authority}) {
      if (other.empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          at, " has no value, but ", other, " is set beside it; set ", at,
          " to the address of slurmrestd, or remove ", at, "_token_file, _user and _authority"));
    }
    return absl::OkStatus();
  }
  const bool secure = absl::StartsWith(slurm.rest, "https://");
  const bool here = absl::StartsWith(slurm.rest, "http://") && IsLoopback(slurm.rest);
  if (!secure && !here) {
    return absl::InvalidArgumentError(absl::StrCat(
        at, " is ", slurm.rest, "; must be https://HOST[:PORT], or http:// of this machine: the ",
        "token can be read on the way otherwise. slurmrestd speaks no TLS; put a proxy before it"));
  }
  if (slurm.rest_token_file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(at, " is set without ", at, "_token_file; write one with scontrol token"));
  }
  while (absl::EndsWith(slurm.rest, "/")) slurm.rest.pop_back();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SlurmSettings> ReadSlurmSettings(const BackendSettings& settings) {
  SlurmSettings slurm;
  std::error_code error;
  slurm.worker =
      (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "ijepa-worker")
          .string();
  slurm.log_dir = absl::StrCat(settings.shared_folder, "/slurm-logs");
  const std::map<std::string, std::string*> texts = {{"bin", &slurm.bin},
                                                     {"conf", &slurm.conf},
                                                     {"worker", &slurm.worker},
                                                     {"state_dir", &slurm.state_dir},
                                                     {"log_dir", &slurm.log_dir},
                                                     {"partition", &slurm.partition},
                                                     {"account", &slurm.account},
                                                     {"qos", &slurm.qos},
                                                     {"rest", &slurm.rest},
                                                     {"rest_token_file", &slurm.rest_token_file},
                                                     {"rest_user", &slurm.rest_user},
                                                     {"rest_authority", &slurm.rest_authority}};
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
    const bool folder = key == "worker" || key == "state_dir" || key == "log_dir" || key == "bin" ||
                        key == "rest_token_file" || key == "rest_authority";
    if (folder && !text->empty() && (*text)[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("backends.slurm.", key, " is ", *text, "; must be an absolute path"));
    }
  }
  IJEPA_RETURN_IF_ERROR(CheckRest(slurm));
  return slurm;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeSlurmBackend(const BackendSettings& settings,
                                                          const std::string& cluster) {
  IJEPA_ASSIGN_OR_RETURN(SlurmSettings slurm, ReadSlurmSettings(settings));
  std::unique_ptr<SlurmTransport> transport;
  if (slurm.rest.empty()) {
    IJEPA_ASSIGN_OR_RETURN(transport, MakeSlurmPrograms(slurm));
  } else {
    transport = MakeSlurmRest(slurm);
  }
  LogInfo("SLURM is spoken to by ", slurm.rest.empty() ? "its programs" : slurm.rest);
  return std::make_unique<SlurmBackend>(std::move(slurm), settings, cluster, std::move(transport));
}

}  // namespace ijepa::coordinator
