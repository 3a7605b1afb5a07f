// See slurm_rules.h.
#include "proto/spec/slurm_rules.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/spec/schedule_rules.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

constexpr int kMaxOptions = 64;
constexpr size_t kMaxOptionBytes = 63;
constexpr size_t kMaxValueBytes = 4096;

struct OwnOption {
  const char* name;
  // What to write instead; null: nothing, it cannot be another.
  const char* instead;
};

// Options that the coordinator sets itself, so that it can find the SLURM job again, start one
// worker per node in it and hear of its end; and those by which a job would read or write files as
// the coordinator's user, or have sbatch do something else.
constexpr OwnOption kOwnOptions[] = {
    {"job-name", nullptr},
    {"ntasks", "ranks"},
    {"nodes", "slurm.nodes"},
    {"ntasks-per-node", "slurm.nodes"},
    {"cpus-per-task", "slurm.cpus_per_rank"},
    {"partition", "slurm.partition"},
    {"account", "slurm.account"},
    {"qos", "slurm.qos"},
    {"constraint", "slurm.constraint"},
    {"gres", "slurm.gres"},
    {"time", "slurm.time_limit"},
    {"reservation", "slurm.reservation"},
    {"mem", "slurm.memory"},
    {"array", nullptr},
    {"requeue", nullptr},
    {"no-requeue", nullptr},
    {"signal", nullptr},
    {"parsable", nullptr},
    {"wait", nullptr},
    {"wrap", nullptr},
    {"test-only", nullptr},
    {"export", nullptr},
    {"hold", nullptr},
    {"chdir", nullptr},
    {"uid", nullptr},
    {"gid", nullptr},
    {"output", nullptr},
    {"error", nullptr},
    {"input", nullptr},
    {"open-mode", nullptr},
    {"export-file", nullptr},
    {"get-user-env", nullptr},
    {"clusters", nullptr},
    // As slurmrestd calls them.
    {"environment", nullptr},
    {"script", nullptr},
    {"standard-output", nullptr},
    {"standard-error", nullptr},
    {"standard-input", nullptr},
    {"current-working-directory", nullptr},
    {"help", nullptr},
    {"usage", nullptr},
    {"version", nullptr},
};

bool IsOptionName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxOptionBytes && absl::ascii_islower(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

// What is wrong with one option; empty if nothing is.
std::string OptionProblem(const v1::Label& option, std::set<std::string>& seen) {
  if (!IsOptionName(option.key())) {
    return absl::StrCat("has \"", Shown(option.key()),
                        "\"; must be a long name of sbatch without its dashes, such as exclude");
  }
  const auto* own = std::find_if(
      std::begin(kOwnOptions), std::end(kOwnOptions),
      // sbatch takes the beginning of a name for the name.
      [&](const OwnOption& entry) { return absl::StartsWith(entry.name, option.key()); });
  if (own != std::end(kOwnOptions)) {
    return absl::StrCat(
        "has ", option.key(), ", which is ", own->name, ", and only the coordinator sets it; ",
        own->instead == nullptr ? "remove it" : absl::StrCat("set ", own->instead, " instead"));
  }
  const bool printable = std::none_of(option.value().begin(), option.value().end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  if (!printable || option.value().size() > kMaxValueBytes) {
    return absl::StrCat("has ", option.key(), " with ", option.value().size(),
                        " bytes; must be one line of at most ", kMaxValueBytes,
                        " bytes without control characters");
  }
  if (!seen.insert(option.key()).second) return absl::StrCat("has ", option.key(), " twice");
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> SlurmViolations(const v1::JobSpec& spec) {
  std::vector<std::pair<std::string, std::string>> violations;
  const v1::SlurmSpec& slurm = spec.slurm();
  const int nodes = slurm.nodes();
  if (nodes > 0 && spec.ranks().max() % nodes != 0) {
    violations.emplace_back("slurm.nodes",
                            absl::StrCat("is ", nodes, "; ranks, which is ", spec.ranks().max(),
                                         ", must be a multiple: every node gets the same number"));
  }
  if (slurm.has_time_limit()) {
    const absl::StatusOr<absl::Duration> limit = ParseTimeLimit(slurm.time_limit());
    if (!limit.ok()) {
      violations.emplace_back("slurm.time_limit", std::string(limit.status().message()));
    }
  }
  if (slurm.options_size() > kMaxOptions) {
    violations.emplace_back(
        "slurm.options",
        absl::StrCat("has ", slurm.options_size(), " entries; must have at most ", kMaxOptions));
  }
  std::set<std::string> seen;
  for (const v1::Label& option : slurm.options()) {
    const std::string problem = OptionProblem(option, seen);
    if (problem.empty()) continue;
    violations.emplace_back("slurm.options", problem);
    break;
  }
  return violations;
}

}  // namespace ijepa::spec
