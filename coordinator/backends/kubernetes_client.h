// Calls of an API server of Kubernetes: JSON over HTTPS, by libcurl.
#ifndef IJEPA_COORDINATOR_BACKENDS_KUBERNETES_CLIENT_H_
#define IJEPA_COORDINATOR_BACKENDS_KUBERNETES_CLIENT_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/backends/kubernetes_access.h"

namespace ijepa::coordinator {

struct KubernetesCall {
  // GET, POST, PATCH (JSON merge patch) or DELETE.
  const char* method = "GET";
  // "/api/v1/namespaces/train/pods?limit=500"; names in it are escaped (KubernetesName).
  std::string path;
  // Empty: no body.
  std::string body;
};

// What is left of the time of something that takes several calls, by the machine's own clock, as
// libcurl measures.
class TimeLeft {
 public:
  explicit TimeLeft(absl::Duration within)
      : end_(std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(within)) {}
  // Never less than zero.
  long Milliseconds() const;
  absl::Duration Get() const { return absl::Milliseconds(Milliseconds()); }

 private:
  std::chrono::steady_clock::time_point end_;
};

// `text` as a part of a path or of a query.
std::string EscapedForUrl(const std::string& text);

// Used by one thread, but for Wake and Interrupt. Connections are kept between calls.
class KubernetesClient {
 public:
  explicit KubernetesClient(KubernetesAccess access);
  ~KubernetesClient();

  // The answer. Unavailable and DeadlineExceeded: it was not reached, is overloaded, or its answer
  // was lost. Else what the server refuses, in its words: Unauthenticated, PermissionDenied,
  // ResourceExhausted (a quota), NotFound, AlreadyExists, Aborted (a conflict), OutOfRange (410:
  // the resource version is too old), InvalidArgument.
  absl::StatusOr<nlohmann::json> Call(const KubernetesCall& call, absl::Duration within);

  // Every object of a list, page by page, so that no more than a page of them is in memory. Gives
  // the resource version of the list. A page that has grown too old (410) is Aborted: begin again.
  absl::StatusOr<std::string> List(const std::string& path, absl::Duration within,
                                   const std::function<void(const nlohmann::json&)>& take);

  // Watches `paths` (lists with watch=1 and a resource version) until one of them has news, or
  // ends, 410 among them: then the caller lists again. Returns after `within`, or Wake, at the
  // latest. An error when a watch is refused, or the server is not reached.
  absl::Status WaitForNews(const std::vector<std::string>& paths, absl::Duration within);
  // From any thread: WaitForNews returns, the next one too if none is under way.
  void Wake();
  // From any thread: calls under way, and all after it, end with Cancelled.
  void Interrupt();

  const KubernetesAccess& access() const { return access_; }

 private:
  class Transfer;

  const KubernetesAccess access_;
  // CURLM*, which owns the connections.
  void* multi_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> interrupted_{false};
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_KUBERNETES_CLIENT_H_
