// See settings.h.
#include "coordinator/settings.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "coordinator/queue_settings.h"
#include "proto/spec/settings_reader.h"

namespace ijepa::coordinator {
namespace {

constexpr int kExitUsage = 2;
constexpr char kAbout[] =
    "Keeps jobs, queue, nodes and the registry of checkpoints of a training service.\n"
    "Flags go over the file that --config names. SIGTERM and SIGINT end it; jobs go on\n"
    "without it and are found again by the next coordinator on the same data folder.";

// Everything as text, as flags and file have it.
struct Texts {
  std::map<std::string, std::string> values;
  spec::SettingsWithTables file;
  bool insecure = false;
};

struct Key {
  const char* name;
  const char* help;
  // On the command line it takes no value.
  bool is_flag = false;
};

constexpr Key kKeys[] = {
    {"listen", "HOST:PORT of the API (default 127.0.0.1:7440)"},
    {"worker_listen", "HOST:PORT where workers connect (default 127.0.0.1:7441)"},
    {"metrics_listen", "HOST:PORT of /metrics, or none (default 127.0.0.1:7442)"},
    {"auth", "token: clients must show one; none: everybody may do everything (default token)"},
    {"tls_certificate", "PEM file; with tls_key, the API and workers are served over TLS"},
    {"tls_key", "PEM file with the key of tls_certificate"},
    {"tls_authority",
     "PEM file; workers must show a certificate of it with their node as common name"},
    {"data_dir", "folder of the store and the job logs, local disk"},
    {"checkpoint_root", "folder for checkpoints that every node sees"},
    {"heartbeat_interval_seconds", "between reports of a worker (default 5)"},
    {"unreachable_after_seconds", "silence until a node is shown as unreachable (default 20)"},
    {"lost_after_seconds", "silence until a node's slots are given elsewhere (default 60)"},
    {"step_deadline_seconds",
     "without a step until a job that trained counts as hung (default 45)"},
    {"reattach_window_seconds", "how long ranks go on without a coordinator (default 600)"},
    {"quarantine_after_faults",
     "failed attempts of two jobs or more until a node is given no ranks; 0: never (default 3)"},
    {"quarantine_seconds", "how long it is given none (default 3600)"},
    {"fair_share_half_life_seconds", "use of this long ago counts half (default 86400)"},
    {"max_bypass",
     "jobs that may start before one that waits for their slots, when its start cannot be "
     "foretold (default 16)"},
    {"min_run_time_seconds", "before an attempt may be stopped for others (default 600)"},
    {"max_preemptions", "gangs stopped for others at a time; 0: none (default 64)"},
    {"keep_history_days", "how long ended jobs and lines of the audit log are kept (default 365)"},
    {"allow_fault_injection", "take jobs that make ranks fail on purpose (default false)", true},
};

std::string FlagOf(absl::string_view key) {
  std::string flag = absl::StrCat("--", key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

absl::StatusOr<Texts> ReadTexts(int argc, char** argv) {
  CLI::App app(kAbout, "ijepa-coordinator");
  app.set_version_flag("--version", "ijepa-coordinator " IJEPA_VERSION);
  std::string config;
  std::map<std::string, std::string> flags;
  Texts texts;
  app.add_option("--config", config, "YAML file of settings");
  for (const Key& key : kKeys) {
    if (key.is_flag) {
      app.add_flag(FlagOf(key.name), flags[key.name], key.help);
    } else {
      app.add_option(FlagOf(key.name), flags[key.name], key.help);
    }
  }
  app.add_flag("--insecure", texts.insecure, "allow addresses beyond loopback, unprotected");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : kExitUsage);
  }
  if (!config.empty()) {
    IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadFile(config));
    std::vector<std::string> names;
    for (const Key& key : kKeys) names.push_back(key.name);
    std::vector<spec::SettingsTable> tables = QueueTables();
    tables.push_back(BackendTable());
    IJEPA_ASSIGN_OR_RETURN(texts.file, spec::ReadSettingsWithTables(text, config, names, tables));
    texts.values = texts.file.values;
    // The file says of metrics_listen that a missing line serves none.
    texts.values.try_emplace("metrics_listen", "none");
  }
  for (const Key& key : kKeys) {
    if (app.count(FlagOf(key.name)) > 0) texts.values[key.name] = flags[key.name];
  }
  return texts;
}

absl::Status TakeSeconds(const Texts& texts, const char* key, absl::Duration& field) {
  const auto found = texts.values.find(key);
  if (found == texts.values.end()) return absl::OkStatus();
  double seconds = 0;
  if (!absl::SimpleAtod(found->second, &seconds) || !(seconds > 0) || seconds > 1e6) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, " is ", found->second, "; must be a number in (0, 1e6]"));
  }
  field = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::Status TakeDays(const Texts& texts, const char* key, absl::Duration& field) {
  const auto found = texts.values.find(key);
  if (found == texts.values.end()) return absl::OkStatus();
  double days = 0;
  if (!absl::SimpleAtod(found->second, &days) || !(days > 0) || days > 36500) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, " is ", found->second, "; must be a number in (0, 36500]"));
  }
  field = absl::Hours(24 * days);
  return absl::OkStatus();
}

absl::Status TakeCount(const Texts& texts, const char* key, int& field) {
  const auto found = texts.values.find(key);
  if (found == texts.values.end()) return absl::OkStatus();
  if (absl::SimpleAtoi(found->second, &field) && field >= 0 && field <= 1000) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(key, " is ", found->second, "; must be a whole number in [0, 1000]"));
}

absl::Status TakeBool(const Texts& texts, const char* key, bool& field) {
  const auto found = texts.values.find(key);
  if (found == texts.values.end()) return absl::OkStatus();
  field = found->second == "true";
  if (field || found->second == "false") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, " is ", found->second, "; must be true or false"));
}

absl::Status TakeAuth(const Texts& texts, bool& ask_for_token) {
  const auto found = texts.values.find("auth");
  if (found == texts.values.end()) return absl::OkStatus();
  ask_for_token = found->second == "token";
  if (ask_for_token || found->second == "none") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("auth is ", found->second, "; must be token or none"));
}

absl::Status TakeScheduling(const Texts& texts, SchedulingRules& rules) {
  IJEPA_RETURN_IF_ERROR(
      TakeSeconds(texts, "fair_share_half_life_seconds", rules.fair_share_half_life));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "min_run_time_seconds", rules.min_run_time));
  IJEPA_RETURN_IF_ERROR(TakeCount(texts, "max_bypass", rules.max_bypass));
  IJEPA_RETURN_IF_ERROR(TakeCount(texts, "max_preemptions", rules.max_preemptions));
  return TakeQueues(texts.file, rules);
}

// `safe`: it may be reached from elsewhere.
absl::Status CheckAddress(const char* name, const std::string& value, bool safe) {
  const size_t colon = value.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(value.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is \"", value, "\"; must be HOST:PORT"));
  }
  const std::string host = value.substr(0, colon);
  // Not a name that begins like it.
  const bool is_127 =
      absl::StartsWith(host, "127.") && host.find_first_not_of("0123456789.") == std::string::npos;
  const bool loopback = is_127 || host == "localhost" || host == "[::1]";
  if (!loopback && !safe) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", value, ", beyond loopback, and nothing protects it; set ",
                     "tls_certificate, tls_key and tls_authority (deploy/local.sh certs makes ",
                     "them), or pass --insecure if only trusted machines reach it"));
  }
  return absl::OkStatus();
}

absl::Status CheckFolder(const char* name, std::string& folder) {
  if (folder.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is not set; name a folder with ", FlagOf(name), " DIR"));
  }
  std::error_code error;
  folder = std::filesystem::absolute(folder, error).lexically_normal().string();
  return absl::OkStatus();
}

absl::Status Check(Settings& settings) {
  const bool tls = !settings.tls_certificate.empty();
  if (tls == settings.tls_key.empty() || (!tls && !settings.tls_authority.empty())) {
    return absl::InvalidArgumentError(
        "tls_certificate and tls_key go together, and tls_authority only with them; set all three");
  }
  const bool workers_known = !settings.tls_authority.empty();
  IJEPA_RETURN_IF_ERROR(CheckAddress("listen", settings.listen,
                                     settings.insecure || (tls && settings.ask_for_token)));
  IJEPA_RETURN_IF_ERROR(
      CheckAddress("worker_listen", settings.worker_listen, settings.insecure || workers_known));
  if (settings.metrics_listen != "none") {
    IJEPA_RETURN_IF_ERROR(
        CheckAddress("metrics_listen", settings.metrics_listen, settings.insecure));
  }
  IJEPA_RETURN_IF_ERROR(CheckFolder("data_dir", settings.data_dir));
  IJEPA_RETURN_IF_ERROR(CheckFolder("checkpoint_root", settings.core.checkpoint_root));
  const CoreOptions& core = settings.core;
  if (core.unreachable_after <= core.heartbeat_interval) {
    return absl::InvalidArgumentError(
        absl::StrCat("unreachable_after_seconds is ", absl::ToDoubleSeconds(core.unreachable_after),
                     "; must be more than heartbeat_interval_seconds, ",
                     absl::ToDoubleSeconds(core.heartbeat_interval)));
  }
  if (core.lost_after <= core.unreachable_after) {
    return absl::InvalidArgumentError(
        absl::StrCat("lost_after_seconds is ", absl::ToDoubleSeconds(core.lost_after),
                     "; must be more than unreachable_after_seconds, ",
                     absl::ToDoubleSeconds(core.unreachable_after)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(int argc, char** argv) {
  IJEPA_ASSIGN_OR_RETURN(const Texts texts, ReadTexts(argc, argv));
  Settings settings;
  settings.insecure = texts.insecure;
  const std::map<std::string, std::string*> fields = {
      {"listen", &settings.listen},
      {"worker_listen", &settings.worker_listen},
      {"metrics_listen", &settings.metrics_listen},
      {"data_dir", &settings.data_dir},
      {"tls_certificate", &settings.tls_certificate},
      {"tls_key", &settings.tls_key},
      {"tls_authority", &settings.tls_authority},
      {"checkpoint_root", &settings.core.checkpoint_root}};
  for (const auto& [key, field] : fields) {
    const auto found = texts.values.find(key);
    if (found != texts.values.end()) *field = found->second;
  }
  CoreOptions& core = settings.core;
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "heartbeat_interval_seconds", core.heartbeat_interval));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "unreachable_after_seconds", core.unreachable_after));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "lost_after_seconds", core.lost_after));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "step_deadline_seconds", core.watch.step_floor));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "reattach_window_seconds", core.reattach_window));
  IJEPA_RETURN_IF_ERROR(TakeCount(texts, "quarantine_after_faults", core.quarantine.faults));
  IJEPA_RETURN_IF_ERROR(TakeSeconds(texts, "quarantine_seconds", core.quarantine.length));
  IJEPA_RETURN_IF_ERROR(TakeDays(texts, "keep_history_days", core.keep_history));
  IJEPA_RETURN_IF_ERROR(TakeBool(texts, "allow_fault_injection", core.allow_fault_injection));
  IJEPA_RETURN_IF_ERROR(TakeScheduling(texts, core.scheduling));
  IJEPA_RETURN_IF_ERROR(TakeBackends(texts.file, core.scheduling, settings.backends));
  IJEPA_RETURN_IF_ERROR(TakeAuth(texts, settings.ask_for_token));
  IJEPA_RETURN_IF_ERROR(Check(settings));
  return settings;
}

}  // namespace ijepa::coordinator
