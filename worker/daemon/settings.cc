#include "worker/daemon/settings.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "worker/daemon/local_address.h"

namespace ijepa::worker {
namespace {

absl::Status CheckAddress(const char* name, const std::string& value) {
  const size_t colon = value.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(value.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is \"", value, "\"; must be HOST:PORT"));
  }
  return absl::OkStatus();
}

bool IsLabelText(absl::string_view text) {
  constexpr size_t kMostBytes = 63;
  if (text.empty() || text.size() > kMostBytes) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || absl::StrContains("_./-", c); });
}

absl::Status TakeLabels(const std::string& text, std::map<std::string, std::string>& labels) {
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> label =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::string key(absl::StripAsciiWhitespace(label.first));
    const std::string value(absl::StripAsciiWhitespace(label.second));
    if (!IsLabelText(key) || !IsLabelText(value) || !labels.try_emplace(key, value).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "labels has \"", part, "\"; must be KEY=VALUE, each key once, of at most 63 ",
          "letters, digits, . _ / and -, such as island=a, rack=r7"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, std::string*> SettingFields(Settings& settings) {
  return {{"coordinator", &settings.coordinator},
          {"node", &settings.node},
          {"slots", &settings.slots},
          {"state_dir", &settings.state_dir},
          {"rank_binary", &settings.rank_binary},
          {"metrics_listen", &settings.metrics_listen},
          {"host_address", &settings.host_address},
          {"cgroup", &settings.cgroup},
          {"drain_seconds", &settings.drain_seconds},
          {"tls_certificate", &settings.tls_certificate},
          {"tls_key", &settings.tls_key},
          {"tls_authority", &settings.tls_authority},
          {"allocation", &settings.allocation},
          {"leave_ranks", &settings.leave_ranks},
          {"labels", &settings.labels}};
}

absl::StatusOr<AllocationParts> ParseAllocation(const std::string& text) {
  const std::vector<std::string> words = absl::StrSplit(text, absl::MaxSplits(':', 2));
  AllocationParts parts;
  if (words.size() == 3 && !words[0].empty() && !words[2].empty() &&
      absl::SimpleAtoi(words[1], &parts.generation) && parts.generation > 0) {
    parts.job_uid = words[0];
    parts.host = words[2];
    return parts;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("allocation is \"", text, "\"; must be UID:GENERATION:HOST, as a backend of ",
                   "the coordinator writes it"));
}

absl::StatusOr<Settings> Resolve(Settings settings) {
  IJEPA_RETURN_IF_ERROR(CheckAddress("coordinator", settings.coordinator));
  if (settings.metrics_listen != "none") {
    IJEPA_RETURN_IF_ERROR(CheckAddress("metrics_listen", settings.metrics_listen));
  }
  if (settings.tls_certificate.empty() != settings.tls_key.empty() ||
      settings.tls_certificate.empty() != settings.tls_authority.empty()) {
    return absl::InvalidArgumentError(
        "tls_certificate, tls_key and tls_authority go together; set all three, or none");
  }
  if (settings.state_dir.empty()) {
    return absl::InvalidArgumentError(
        "state_dir is not set; name a folder on a local disk with --state-dir DIR");
  }
  if (settings.cgroup != "auto" && settings.cgroup != "none" && settings.cgroup[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("cgroup is \"", settings.cgroup,
                     "\"; must be auto, none, or the absolute path of a folder of cgroup2"));
  }
  if (settings.host_address == "auto") {
    absl::StatusOr<std::string> address = LocalAddressTowards(settings.coordinator);
    if (!address.ok()) {
      return absl::UnavailableError(absl::StrCat("host_address is auto, and ",
                                                 std::string(address.status().message()),
                                                 "; name this node's address with --host-address"));
    }
    settings.host_address = *std::move(address);
  }
  double seconds = 0;
  if (!absl::SimpleAtod(settings.drain_seconds, &seconds) || !(seconds > 0) || seconds > 1e6) {
    return absl::InvalidArgumentError(absl::StrCat("drain_seconds is \"", settings.drain_seconds,
                                                   "\"; must be a number in (0, 1e6]"));
  }
  settings.drain_time = absl::Seconds(seconds);
  if (settings.leave_ranks != "yes" && settings.leave_ranks != "no") {
    return absl::InvalidArgumentError(
        absl::StrCat("leave_ranks is \"", settings.leave_ranks, "\"; must be yes or no"));
  }
  if (!settings.allocation.empty()) {
    IJEPA_RETURN_IF_ERROR(ParseAllocation(settings.allocation).status());
  }
  IJEPA_RETURN_IF_ERROR(TakeLabels(settings.labels, settings.label_map));
  std::error_code error;
  settings.state_dir = std::filesystem::absolute(settings.state_dir, error).string();
  if (settings.node.empty()) {
    char name[256] = {};
    if (::gethostname(name, sizeof(name) - 1) != 0) {
      return absl::InvalidArgumentError("node is not set and this machine has no host name");
    }
    settings.node = name;
  }
  if (settings.rank_binary.empty()) {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    settings.rank_binary = (self.parent_path() / "ijepa-rank").string();
  }
  settings.rank_binary = std::filesystem::absolute(settings.rank_binary, error).string();
  if (::access(settings.rank_binary.c_str(), X_OK) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank_binary is ", settings.rank_binary,
                     ", which is no program; build ijepa-rank or pass --rank-binary FILE"));
  }
  return settings;
}

}  // namespace ijepa::worker
