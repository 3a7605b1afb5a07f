// See spec_references.h.
#include "proto/spec/spec_references.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

constexpr int kMaxLabels = 64;
constexpr int kMaxDependencies = 64;
constexpr size_t kMaxLabelBytes = 63;
constexpr size_t kMaxNameBytes = 128;
constexpr char kLabelRule[] =
    "; must be letters and digits, with -, _, . and / between, at most 63 characters";

}  // namespace

bool IsLabelKey(absl::string_view text) {
  if (text.empty() || text.size() > kMaxLabelBytes) return false;
  const auto fits = [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./", absl::string_view(&c, 1));
  };
  return absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back()) &&
         std::all_of(text.begin(), text.end(), fits);
}

std::string LabelProblem(const v1::JobSpec& spec) {
  if (spec.labels_size() > kMaxLabels) {
    return absl::StrCat("has ", spec.labels_size(), " entries; must have at most ", kMaxLabels);
  }
  std::set<std::string> keys;
  for (const v1::Label& label : spec.labels()) {
    if (!IsLabelKey(label.key())) {
      return absl::StrCat("has the name \"", Shown(label.key()), "\"", kLabelRule);
    }
    if (!label.value().empty() && !IsLabelKey(label.value())) {
      return absl::StrCat("has ", label.key(), ": \"", Shown(label.value()), "\"", kLabelRule);
    }
    if (!keys.insert(label.key()).second) {
      return absl::StrCat("has ", label.key(), " twice; each name once");
    }
  }
  return "";
}

std::string DependencyProblem(const v1::JobSpec& spec) {
  if (spec.depends_on_size() > kMaxDependencies) {
    return absl::StrCat("has ", spec.depends_on_size(), " entries; must have at most ",
                        kMaxDependencies);
  }
  std::set<std::string> jobs;
  for (const v1::Dependency& dependency : spec.depends_on()) {
    if (dependency.job().empty() || dependency.job().size() > kMaxNameBytes) {
      return absl::StrCat("names the job \"", Shown(dependency.job()),
                          "\"; write for example {job: pretrain-abc123}");
    }
    if (!v1::DependencyFailure_IsValid(dependency.on_failure())) {
      return absl::StrCat("has on_failure ", static_cast<int>(dependency.on_failure()),
                          "; must be cancel or ignore");
    }
    if (!jobs.insert(dependency.job()).second) {
      return absl::StrCat("names ", Shown(dependency.job()), " twice; each job once");
    }
  }
  return "";
}

}  // namespace ijepa::spec
