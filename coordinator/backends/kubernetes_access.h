// Where an API server is, and as whom we come: from a kubeconfig, or from what Kubernetes puts into
// every pod that has a service account.
#ifndef IJEPA_COORDINATOR_BACKENDS_KUBERNETES_ACCESS_H_
#define IJEPA_COORDINATOR_BACKENDS_KUBERNETES_ACCESS_H_

#include <string>

#include "absl/status/statusor.h"

namespace ijepa::coordinator {

struct KubernetesAccess {
  // https://HOST:PORT, without a slash at the end.
  std::string server;
  // Namespace of the context or of the pod; "default" where neither says.
  std::string name_space;
  // PEM; empty: the system's authorities.
  std::string authority;
  // PEM, both or none.
  std::string certificate;
  std::string key;
  // At most one. The file is read again for every call: the kubelet renews it.
  std::string token;
  std::string token_file;
};

// The current context of the file. InvalidArgument names file and key for what is missing, and for
// ways to log in that run a program (exec, auth-provider), which a service does not do; NotFound
// without the file.
absl::StatusOr<KubernetesAccess> ReadKubeconfig(const std::string& path);

// Of the pod that we run in. `folder`: /var/run/secrets/kubernetes.io/serviceaccount. `host`,
// `port`: values of KUBERNETES_SERVICE_HOST and _PORT, null where they are not set, which is
// FailedPrecondition: we are in no pod.
absl::StatusOr<KubernetesAccess> InClusterAccess(const std::string& folder, const char* host,
                                                 const char* port);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_KUBERNETES_ACCESS_H_
