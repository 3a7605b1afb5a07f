// See http_call.h.
#include "coordinator/backends/http_call.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

constexpr absl::Duration kConnectTime = absl::Seconds(5);

struct Received {
  std::string body;
  bool too_long = false;
};

size_t Take(char* data, size_t size, size_t count, void* to) {
  Received& received = *static_cast<Received*>(to);
  received.too_long = received.body.size() + size * count > kMaxHttpAnswerBytes;
  if (received.too_long) return 0;  // Ends it with an error.
  received.body.append(data, size * count);
  return size * count;
}

long Milliseconds(absl::Duration time) {
  return std::max<long>(1, static_cast<long>(absl::ToInt64Milliseconds(time)));
}

// One call under way, as libcurl has it.
struct Transfer {
  explicit Transfer(const HttpCall& call) : curl(curl_easy_init(), &curl_easy_cleanup) {
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_URL, call.url.c_str());
    Set(CURLOPT_PROTOCOLS_STR, "http,https");
    Set(CURLOPT_CUSTOMREQUEST, call.method);
    Set(CURLOPT_USERAGENT, "ijepa-coordinator/" IJEPA_VERSION);
    Set(CURLOPT_ERRORBUFFER, error);
    Set(CURLOPT_WRITEFUNCTION, &Take);
    Set(CURLOPT_WRITEDATA, &received);
    if (!call.authority.empty()) Set(CURLOPT_CAINFO, call.authority.c_str());
    for (const std::string& header : call.headers) {
      headers.reset(curl_slist_append(headers.release(), header.c_str()));
    }
    if (!call.body.empty()) {
      Set(CURLOPT_POSTFIELDS, call.body.c_str());
      Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    }
    Set(CURLOPT_HTTPHEADER, headers.get());
  }

  template <typename Value>
  void Set(CURLoption option, Value value) {
    curl_easy_setopt(curl.get(), option, value);
  }

  absl::Status Failure(CURLcode code, const std::string& url) const {
    const std::string what = absl::StrCat(url, ": ", *error ? error : curl_easy_strerror(code));
    if (received.too_long) {
      return absl::ResourceExhaustedError(
          absl::StrCat(url, " answered more than ", kMaxHttpAnswerBytes >> 20, " MiB"));
    }
    if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError(what);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
      return absl::UnauthenticatedError(what);
    }
    return absl::UnavailableError(what);
  }

  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{nullptr,
                                                                      &curl_slist_free_all};
  Received received;
  char error[CURL_ERROR_SIZE] = "";
};

}  // namespace

HttpClient::HttpClient() : multi_(nullptr) {
  // Once, before any thread uses it.
  static const CURLcode library = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(library);
  multi_ = curl_multi_init();
}

HttpClient::~HttpClient() { curl_multi_cleanup(multi_); }

absl::StatusOr<HttpAnswer> HttpClient::Call(const HttpCall& call, absl::Duration within) {
  Transfer transfer(call);
  transfer.Set(CURLOPT_TIMEOUT_MS, Milliseconds(within));
  transfer.Set(CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(std::min(within, kConnectTime)));
  curl_multi_add_handle(multi_, transfer.curl.get());
  int running = 1;
  CURLMcode state = CURLM_OK;
  // libcurl itself ends the transfer in time.
  while (running > 0 && state == CURLM_OK && !interrupted_) {
    state = curl_multi_perform(multi_, &running);
    if (running > 0 && state == CURLM_OK) {
      state = curl_multi_poll(multi_, nullptr, 0, static_cast<int>(Milliseconds(within)), nullptr);
    }
  }
  CURLcode code = CURLE_OK;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  }
  curl_multi_remove_handle(multi_, transfer.curl.get());
  if (interrupted_) return absl::CancelledError(absl::StrCat(call.url, ": the coordinator stops"));
  if (state != CURLM_OK) {
    return absl::UnavailableError(absl::StrCat(call.url, ": ", curl_multi_strerror(state)));
  }
  if (code != CURLE_OK) return transfer.Failure(code, call.url);
  HttpAnswer answer;
  curl_easy_getinfo(transfer.curl.get(), CURLINFO_RESPONSE_CODE, &answer.code);
  answer.body = std::move(transfer.received.body);
  return answer;
}

void HttpClient::Interrupt() {
  interrupted_ = true;
  curl_multi_wakeup(multi_);
}

}  // namespace ijepa::coordinator
