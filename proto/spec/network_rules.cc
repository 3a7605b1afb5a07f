// See network_rules.h.
#include "proto/spec/network_rules.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

constexpr int kMaxVariables = 64;
constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxValueBytes = 256;

bool IsNcclName(absl::string_view name) {
  if (name.size() > kMaxNameBytes || !absl::ConsumePrefix(&name, "NCCL_")) return false;
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isupper(c) || absl::ascii_isdigit(c) || c == '_';
  });
}

// Whether NCCL takes the value for a library to load or a file to read or write: NCCL_NET_PLUGIN,
// NCCL_TOPO_FILE, NCCL_DEBUG_FILE. What those do, they do as the worker's user.
bool NamesAFile(absl::string_view name) {
  return absl::StrContains(name, "PLUGIN") || absl::EndsWith(name, "_FILE");
}

bool IsOneLine(absl::string_view value) {
  return value.size() <= kMaxValueBytes && std::all_of(value.begin(), value.end(), [](char c) {
           return !absl::ascii_iscntrl(static_cast<unsigned char>(c));
         });
}

}  // namespace

std::string NetworkEnvProblem(const v1::NetworkSpec& network) {
  if (network.env_size() > kMaxVariables) {
    return absl::StrCat("has ", network.env_size(), " entries; must have at most ", kMaxVariables);
  }
  std::set<std::string> names;
  for (const v1::Label& variable : network.env()) {
    if (!IsNcclName(variable.key())) {
      return absl::StrCat("has the name \"", Shown(variable.key()),
                          "\"; must be NCCL_ and A-Z, 0-9 and _, at most ", kMaxNameBytes,
                          " bytes; a job sets no other variables");
    }
    if (NamesAFile(variable.key())) {
      return absl::StrCat("has ", variable.key(),
                          ", which names a file or a library; only who runs the workers sets it, ",
                          "in their environment");
    }
    if (!IsOneLine(variable.value())) {
      return absl::StrCat("has ", variable.key(), " with ", variable.value().size(),
                          " bytes; must be one line of at most ", kMaxValueBytes,
                          " bytes without control characters");
    }
    if (!names.insert(variable.key()).second) {
      return absl::StrCat("has ", variable.key(), " twice; each name once");
    }
  }
  return "";
}

}  // namespace ijepa::spec
