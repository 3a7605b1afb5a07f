// See backend_settings.h.
#include "coordinator/backend_settings.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

constexpr char kTable[] = "backends";

struct Kind {
  const char* name;
  // Beside kCommonKeys.
  std::vector<std::string> keys;
};

const std::vector<Kind>& Kinds() {
  static const auto* kinds = new std::vector<Kind>{
      {"slurm",
       {"bin", "conf", "worker", "state_dir", "log_dir", "partition", "account", "qos",
        "warn_seconds", "rest", "rest_token_file", "rest_user", "rest_authority"}},
      {"kubernetes",
       {"namespace", "kubeconfig", "image", "service_account", "pull_secret", "tls_secret",
        "checkpoint_claim", "user", "drain_seconds", "allow_host_path", "allow_pod_patch",
        "job_sets"}},
  };
  return *kinds;
}

const std::vector<std::string>& CommonKeys() {
  static const auto* keys = new std::vector<std::string>{
      "coordinator", "poll_seconds", "call_seconds", "tls_certificate", "tls_key", "tls_authority"};
  return *keys;
}

bool Has(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

absl::Status TakeSeconds(const std::string& path, const std::string& value, absl::Duration& field) {
  double seconds = 0;
  if (!absl::SimpleAtod(value, &seconds) || !(seconds > 0) || seconds > 3600) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is ", value, "; must be a number in (0, 3600]"));
  }
  field = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::Status TakeBackend(const Kind& kind, const std::map<std::string, std::string>& values,
                         BackendSettings& backend) {
  const std::map<std::string, std::string*> texts = {{"coordinator", &backend.coordinator},
                                                     {"tls_certificate", &backend.tls_certificate},
                                                     {"tls_key", &backend.tls_key},
                                                     {"tls_authority", &backend.tls_authority}};
  for (const auto& [key, value] : values) {
    const std::string path = absl::StrCat(kTable, ".", kind.name, ".", key);
    if (const auto text = texts.find(key); text != texts.end()) {
      *text->second = value;
    } else if (key == "poll_seconds") {
      IJEPA_RETURN_IF_ERROR(TakeSeconds(path, value, backend.poll));
    } else if (key == "call_seconds") {
      IJEPA_RETURN_IF_ERROR(TakeSeconds(path, value, backend.call));
    } else if (Has(kind.keys, key)) {
      backend.own[key] = value;
    } else {
      return absl::InvalidArgumentError(absl::StrCat(path, " is set; ", kind.name, " has only ",
                                                     absl::StrJoin(CommonKeys(), ", "), ", ",
                                                     absl::StrJoin(kind.keys, ", ")));
    }
  }
  const bool tls = !backend.tls_authority.empty();
  if (tls == backend.tls_certificate.empty() || tls == backend.tls_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kTable, ".", kind.name,
                     ": tls_certificate, tls_key and tls_authority go together; set all or none"));
  }
  return absl::OkStatus();
}

absl::Status CheckQueues(const SchedulingRules& rules, const Backends& backends) {
  for (const auto& [name, queue] : rules.queues) {
    if (queue.backend == kOwnBackend || backends.count(queue.backend) > 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("queues.", name, ".backend is ", queue.backend,
                                                   "; must be ", kOwnBackend, " or a name in ",
                                                   kTable, ", such as ", kTable, ": {slurm: {}}"));
  }
  return absl::OkStatus();
}

}  // namespace

spec::SettingsTable BackendTable() {
  spec::SettingsTable table{kTable, CommonKeys()};
  for (const Kind& kind : Kinds()) {
    table.allowed_keys.insert(table.allowed_keys.end(), kind.keys.begin(), kind.keys.end());
  }
  return table;
}

absl::Status TakeBackends(const spec::SettingsWithTables& settings, const SchedulingRules& rules,
                          Backends& backends) {
  const auto table = settings.tables.find(kTable);
  if (table != settings.tables.end()) {
    for (const auto& [name, values] : table->second) {
      const auto kind = std::find_if(Kinds().begin(), Kinds().end(),
                                     [&name = name](const Kind& one) { return one.name == name; });
      if (kind == Kinds().end()) {
        return absl::InvalidArgumentError(absl::StrCat(
            kTable, " has ", name, "; must be ",
            absl::StrJoin(Kinds(), " or ",
                          [](std::string* out, const Kind& one) { *out += one.name; })));
      }
      IJEPA_RETURN_IF_ERROR(TakeBackend(*kind, values, backends[name]));
    }
  }
  return CheckQueues(rules, backends);
}

}  // namespace ijepa::coordinator
