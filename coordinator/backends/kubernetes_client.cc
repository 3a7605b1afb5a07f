// See kubernetes_client.h.
#include "coordinator/backends/kubernetes_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

// Of a page of a list: 500 pods are about 5 MB.
constexpr size_t kMaxAnswerBytes = size_t{64} << 20;
constexpr long kGone = 410;
constexpr int kPageObjects = 250;
constexpr absl::Duration kConnectTime = absl::Seconds(5);

// libcurl's one-time set-up, before any thread uses it.
struct CurlLibrary {
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

absl::StatusCode CodeFor(long http, absl::string_view message) {
  if (http == 403 && absl::StrContains(message, "exceeded quota")) {
    return absl::StatusCode::kResourceExhausted;
  }
  switch (http) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAborted;
    case kGone:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      return http >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kInvalidArgument;
  }
}

// Of answers of any shape: something between us and the server may have written them.
std::string Text(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

absl::Status RefusalOf(long http, const json& answer, const std::string& body) {
  std::string message = Text(answer, "message");
  if (message.empty()) message = body.substr(0, 300);
  const std::string reason = Text(answer, "reason");
  if (reason == "AlreadyExists") return absl::AlreadyExistsError(message);
  return absl::Status(CodeFor(http, message),
                      absl::StrCat(reason.empty() ? absl::StrCat("HTTP ", http) : reason, ": ",
                                   message.empty() ? "no more is said" : message));
}

}  // namespace

long TimeLeft::Milliseconds() const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      end_ - std::chrono::steady_clock::now());
  return std::max<long>(left.count(), 0);
}

std::string EscapedForUrl(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        absl::StrContains("-._~", std::string(1, c))) {
      escaped += c;
    } else {
      absl::StrAppend(&escaped, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return escaped;
}

// One call under way. Lives as long as libcurl has its handle.
class KubernetesClient::Transfer {
 public:
  Transfer(const KubernetesAccess& access, const KubernetesCall& call)
      : curl_(curl_easy_init()), url_(access.server + call.path), body_(call.body) {
    curl_easy_setopt(curl_, CURLOPT_PRIVATE, this);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, call.method);
    curl_easy_setopt(curl_, CURLOPT_USERAGENT, "ijepa-coordinator/" IJEPA_VERSION);
    curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(curl_, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(kConnectTime)));
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Transfer::Write);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
    AddHeader("Accept: application/json");
    if (!body_.empty()) {
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body_.c_str());
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
      AddHeader(std::string(call.method) == "PATCH" ? "Content-Type: application/merge-patch+json"
                                                    : "Content-Type: application/json");
    }
    SetIdentity(access);
  }
  ~Transfer() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  absl::Status SetToken(const KubernetesAccess& access) {
    std::string token = access.token;
    if (!access.token_file.empty()) {
      IJEPA_ASSIGN_OR_RETURN(token, ReadFile(access.token_file));
    }
    token = std::string(absl::StripAsciiWhitespace(token));
    if (!token.empty()) AddHeader(absl::StrCat("Authorization: Bearer ", token));
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
    return absl::OkStatus();
  }
  void SetTime(long milliseconds) {
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, std::max<long>(milliseconds, 1));
  }

  CURL* curl() { return curl_; }
  const std::string& received() const { return received_; }
  long http() {
    long code = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }

  // Why no answer came.
  absl::Status Failure(CURLcode code, const std::string& server) const {
    const std::string words = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    const std::string message = absl::StrCat("the API server ", server, ": ", words);
    return code == CURLE_OPERATION_TIMEDOUT ? absl::DeadlineExceededError(message)
                                            : absl::UnavailableError(message);
  }

 private:
  static size_t Write(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const size_t bytes = size * count;
    if (transfer.received_.size() + bytes > kMaxAnswerBytes) return 0;  // ends it with an error
    transfer.received_.append(data, bytes);
    return bytes;
  }

  void AddHeader(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

  void SetBlob(CURLoption option, const std::string& pem) {
    if (pem.empty()) return;
    curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
    curl_easy_setopt(curl_, option, &blob);
  }
  void SetIdentity(const KubernetesAccess& access) {
    SetBlob(CURLOPT_CAINFO_BLOB, access.authority);
    SetBlob(CURLOPT_SSLCERT_BLOB, access.certificate);
    SetBlob(CURLOPT_SSLKEY_BLOB, access.key);
  }

  CURL* curl_;
  const std::string url_;
  const std::string body_;
  curl_slist* headers_ = nullptr;
  std::string received_;
  char error_[CURL_ERROR_SIZE] = "";
};

KubernetesClient::KubernetesClient(KubernetesAccess access)
    : access_(std::move(access)), multi_(nullptr) {
  static const CurlLibrary library;
  multi_ = curl_multi_init();
}

KubernetesClient::~KubernetesClient() { curl_multi_cleanup(multi_); }

absl::StatusOr<json> KubernetesClient::Call(const KubernetesCall& call, absl::Duration within) {
  const TimeLeft left(within);
  Transfer transfer(access_, call);
  IJEPA_RETURN_IF_ERROR(transfer.SetToken(access_));
  transfer.SetTime(left.Milliseconds());
  curl_multi_add_handle(multi_, transfer.curl());
  int running = 1;
  CURLMcode state = CURLM_OK;
  while (running > 0 && state == CURLM_OK && !interrupted_) {
    state = curl_multi_perform(multi_, &running);
    if (running > 0 && state == CURLM_OK) {
      state =
          curl_multi_poll(multi_, nullptr, 0, static_cast<int>(left.Milliseconds()) + 1, nullptr);
    }
  }
  CURLcode code = CURLE_OK;
  int more = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &more)) {
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  }
  curl_multi_remove_handle(multi_, transfer.curl());
  if (interrupted_) return absl::CancelledError("the coordinator stops");
  if (state != CURLM_OK) return absl::UnavailableError(curl_multi_strerror(state));
  if (code != CURLE_OK) return transfer.Failure(code, access_.server);
  json answer = json::parse(transfer.received(), nullptr, false);
  const long http = transfer.http();
  if (http >= 200 && http < 300 && !answer.is_discarded()) return answer;
  if (http >= 200 && http < 300) {
    return absl::UnavailableError(
        absl::StrCat("the API server ", access_.server, " answered with what is not JSON"));
  }
  return RefusalOf(http, answer, transfer.received());
}

absl::StatusOr<std::string> KubernetesClient::List(const std::string& path, absl::Duration within,
                                                   const std::function<void(const json&)>& take) {
  const TimeLeft left(within);
  const bool has_query = absl::StrContains(path, "?");
  std::string next;
  for (;;) {
    KubernetesCall call;
    call.path = absl::StrCat(path, has_query ? "&" : "?", "limit=", kPageObjects,
                             next.empty() ? "" : absl::StrCat("&continue=", EscapedForUrl(next)));
    absl::StatusOr<json> page = Call(call, left.Get());
    if (absl::IsOutOfRange(page.status()) && !next.empty()) {
      return absl::AbortedError(page.status().message());
    }
    if (!page.ok()) return page.status();
    const auto items = page->find("items");
    if (items == page->end() || !items->is_array()) {
      return absl::UnavailableError(absl::StrCat(path, " answered without a list"));
    }
    for (const json& item : *items) take(item);
    const json about = page->value("metadata", json::object());
    next = Text(about, "continue");
    if (next.empty()) return Text(about, "resourceVersion");
  }
}

absl::Status KubernetesClient::WaitForNews(const std::vector<std::string>& paths,
                                           absl::Duration within) {
  const TimeLeft left(within);
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (const std::string& path : paths) {
    auto transfer = std::make_unique<Transfer>(access_, KubernetesCall{"GET", path, ""});
    IJEPA_RETURN_IF_ERROR(transfer->SetToken(access_));
    transfer->SetTime(left.Milliseconds());
    transfers.push_back(std::move(transfer));
  }
  for (const auto& transfer : transfers) curl_multi_add_handle(multi_, transfer->curl());
  const auto has_news = [&] {
    return std::any_of(transfers.begin(), transfers.end(),
                       [](const auto& transfer) { return !transfer->received().empty(); });
  };
  int running = static_cast<int>(transfers.size());
  const int started = running;
  while (!woken_.exchange(false) && !interrupted_ && left.Milliseconds() > 0) {
    if (curl_multi_perform(multi_, &running) != CURLM_OK || running < started || has_news()) break;
    const int wait = static_cast<int>(left.Milliseconds()) + 1;
    if (curl_multi_poll(multi_, nullptr, 0, wait, nullptr) != CURLM_OK) break;
  }
  absl::Status status;
  int more = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &more)) {
    if (message->msg != CURLMSG_DONE || message->data.result == CURLE_OK) continue;
    if (message->data.result == CURLE_OPERATION_TIMEDOUT) continue;  // `within` is over
    const auto failed = std::find_if(transfers.begin(), transfers.end(), [&](const auto& one) {
      return one->curl() == message->easy_handle;
    });
    if (failed != transfers.end()) {
      status.Update((*failed)->Failure(message->data.result, access_.server));
    }
  }
  for (const auto& transfer : transfers) {
    curl_multi_remove_handle(multi_, transfer->curl());
    const long http = transfer->http();
    if (http < 400 || http == kGone) continue;
    const std::string& body = transfer->received();
    status.Update(RefusalOf(http, json::parse(body, nullptr, false), body));
  }
  return status;
}

void KubernetesClient::Interrupt() {
  interrupted_ = true;
  curl_multi_wakeup(multi_);
}

void KubernetesClient::Wake() {
  woken_ = true;
  curl_multi_wakeup(multi_);
}

}  // namespace ijepa::coordinator
