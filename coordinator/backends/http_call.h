// One call over HTTP, by libcurl, within a time.
#ifndef IJEPA_COORDINATOR_BACKENDS_HTTP_CALL_H_
#define IJEPA_COORDINATOR_BACKENDS_HTTP_CALL_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::coordinator {

struct HttpCall {
  // GET, POST or DELETE.
  const char* method = "GET";
  // Whole: "https://host:6820/slurm/v0.0.38/jobs".
  std::string url;
  // "Name: value" each.
  std::vector<std::string> headers;
  // Empty: none.
  std::string body;
  // PEM file of the authorities that the server's certificate is judged by; empty: the system's.
  std::string authority;
};

struct HttpAnswer {
  // 200, 404, ...
  long code = 0;
  std::string body;
};

inline constexpr size_t kMaxHttpAnswerBytes = size_t{64} << 20;

// Used by one thread, but for Interrupt. Connections are kept between calls.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Whatever the server answers, its refusals too. Unavailable: it was not reached or broke off;
  // DeadlineExceeded; Unauthenticated: its certificate is not to be trusted; ResourceExhausted:
  // more than kMaxHttpAnswerBytes; Cancelled after Interrupt. Each names the server.
  absl::StatusOr<HttpAnswer> Call(const HttpCall& call, absl::Duration within);

  // From any thread: the call under way, and all after it, end with Cancelled.
  void Interrupt();

 private:
  // CURLM*, which owns the connections.
  void* multi_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_HTTP_CALL_H_
