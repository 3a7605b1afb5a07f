// The engine for Kubernetes from the coordinator's settings.
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/backend_settings.h"
#include "coordinator/backends/kubernetes_backend.h"

namespace ijepa::coordinator {
namespace {

constexpr char kServiceAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount";

absl::Status TakeWhole(const std::string& key, const std::string& value, int low, int& field) {
  if (absl::SimpleAtoi(value, &field) && field >= low && field <= 1000000) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("backends.kubernetes.", key, " is ", value,
                                                 "; must be a whole number in [", low,
                                                 ", 1000000]"));
}

absl::Status TakeSwitch(const std::string& key, const std::string& value, bool& field) {
  if (value != "true" && value != "false") {
    return absl::InvalidArgumentError(
        absl::StrCat("backends.kubernetes.", key, " is ", value, "; must be true or false"));
  }
  field = value == "true";
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeKubernetesBackend(const BackendSettings& settings,
                                                               const std::string& cluster) {
  KubernetesBackend::Options options;
  KubernetesSetup& setup = options.setup;
  std::string kubeconfig;
  int drain_seconds = static_cast<int>(absl::ToInt64Seconds(setup.drain));
  const std::map<std::string, std::string*> texts = {{"namespace", &options.name_space},
                                                     {"kubeconfig", &kubeconfig},
                                                     {"image", &setup.image},
                                                     {"service_account", &setup.service_account},
                                                     {"pull_secret", &setup.pull_secret},
                                                     {"tls_secret", &setup.tls_secret},
                                                     {"checkpoint_claim", &setup.checkpoint_claim}};
  for (const auto& [key, value] : settings.own) {
    if (const auto text = texts.find(key); text != texts.end()) {
      *text->second = value;
    } else if (key == "user") {
      IJEPA_RETURN_IF_ERROR(TakeWhole(key, value, 1, setup.user));
    } else if (key == "allow_host_path") {
      IJEPA_RETURN_IF_ERROR(TakeSwitch(key, value, setup.allow_host_path));
    } else if (key == "allow_pod_patch") {
      IJEPA_RETURN_IF_ERROR(TakeSwitch(key, value, setup.allow_pod_patch));
    } else if (key == "job_sets") {
      IJEPA_RETURN_IF_ERROR(TakeSwitch(key, value, options.job_sets));
    } else if (key == "drain_seconds") {
      IJEPA_RETURN_IF_ERROR(TakeWhole(key, value, 1, drain_seconds));
    }
  }
  setup.drain = absl::Seconds(drain_seconds);
  setup.coordinator = settings.coordinator;
  setup.identity = cluster;
  setup.checkpoint_root = settings.shared_folder;
  if (!settings.tls_authority.empty()) {
    return absl::InvalidArgumentError(
        "backends.kubernetes.tls_certificate names a file on a machine, which pods do not see; set "
        "tls_secret to a Secret with tls.crt, tls.key and ca.crt");
  }
  if (kubeconfig.empty()) {
    IJEPA_ASSIGN_OR_RETURN(options.access,
                           InClusterAccess(kServiceAccount, std::getenv("KUBERNETES_SERVICE_HOST"),
                                           std::getenv("KUBERNETES_SERVICE_PORT")));
  } else {
    IJEPA_ASSIGN_OR_RETURN(options.access, ReadKubeconfig(kubeconfig));
  }
  if (options.name_space.empty()) options.name_space = options.access.name_space;
  return std::make_unique<KubernetesBackend>(std::move(options));
}

}  // namespace ijepa::coordinator
