// See slurm_rest.h.
#include "coordinator/backends/slurm_rest.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "coordinator/backends/slurm_transport.h"
#include "coordinator/backends/slurm_words.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

constexpr char kVersion[] = "/slurm/v0.0.38";
constexpr char kPath[] = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
constexpr char kCertificateAdvice[] =
    "; rest_authority of backends.slurm must be the authority of the certificate there, and that "
    "must name the host of rest";
constexpr size_t kMaxTokenBytes = 65536;
constexpr size_t kMaxWords = 500;

// Where a property is not called as the option of sbatch.
const std::map<std::string, std::string>& Properties() {
  static const auto* properties =
      new std::map<std::string, std::string>{{"job-name", "name"},
                                             {"ntasks", "tasks"},
                                             {"ntasks-per-node", "tasks_per_node"},
                                             {"ntasks-per-core", "tasks_per_core"},
                                             {"ntasks-per-socket", "tasks_per_socket"},
                                             {"chdir", "current_working_directory"},
                                             {"output", "standard_output"},
                                             {"error", "standard_error"},
                                             {"input", "standard_input"},
                                             {"constraint", "constraints"},
                                             {"mem", "memory_per_node"},
                                             {"mem-per-cpu", "memory_per_cpu"},
                                             {"mem-per-gpu", "memory_per_gpu"},
                                             {"mincpus", "minimum_cpus_per_node"},
                                             {"time", "time_limit"},
                                             {"time-min", "time_minimum"},
                                             {"begin", "begin_time"},
                                             {"cpu-bind", "cpu_binding"},
                                             {"gpu-bind", "gpu_binding"},
                                             {"gpu-freq", "gpu_frequency"},
                                             {"mem-bind", "memory_binding"}};
  return *properties;
}

// Only these keys of a listed thing are kept: a SLURM job has 100 of them.
json ParseList(const std::string& body, const std::vector<std::string>& keys) {
  constexpr int kKeyDepth = 3;  // {"jobs": [{KEY: ...}]}
  return json::parse(
      body,
      [&](int depth, json::parse_event_t event, json& value) {
        if (event != json::parse_event_t::key || depth != kKeyDepth) return true;
        return std::find(keys.begin(), keys.end(), value.get_ref<const std::string&>()) !=
               keys.end();
      },
      false);
}

std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t NumberOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<int64_t>() : 0;
}

absl::Status NotUnderstood(const char* list) {
  return absl::UnavailableError(absl::StrCat("slurmrestd answered without ", list, " as ",
                                             "v0.0.38 has them: is it of SLURM 22.05 or 23.02?"));
}

// All that its errors say, a line each.
std::vector<std::string> WordsOf(const HttpAnswer& answer) {
  const json body = json::parse(answer.body, nullptr, false);
  std::vector<std::string> words;
  const json errors = body.is_object() ? body.value("errors", json::array()) : json::array();
  for (const json& error : errors) {
    if (!error.is_object()) continue;
    for (const char* key : {"description", "error"}) {
      const std::string text = TextOf(error, key);
      const bool said = std::any_of(words.begin(), words.end(), [&](const std::string& one) {
        return absl::StrContains(one, text);
      });
      if (!said && !text.empty() && text != "Unspecified error") words.push_back(text);
    }
  }
  const bool refused = answer.code < 200 || answer.code >= 300 || !errors.empty();
  if (words.empty() && (refused || !body.is_object())) {
    words.push_back(absl::StrCat(
        "HTTP ", answer.code, " ",
        body.is_object() ? "Unspecified error"
                         : absl::StripAsciiWhitespace(answer.body.substr(0, kMaxWords))));
  }
  return words;
}

// What is to be done about the token, empty: nothing is known against it.
std::string TokenAdvice(const HttpAnswer& answer, absl::string_view words, const SlurmToken& token,
                        const std::string& file, absl::Time now) {
  const std::string make =
      absl::StrCat("scontrol token username=", token.user.empty() ? "USER" : token.user,
                   " lifespan=SECONDS > ", file, " (it is read for every call)");
  if (token.end <= now) {
    return absl::StrCat("the token in ", file, " ended ",
                        absl::FormatDuration(absl::Trunc(now - token.end, absl::Seconds(1))),
                        " ago: ", make);
  }
  if (answer.code == 401 || absl::StrContains(words, "Zero Bytes were transmitted")) {
    return absl::StrCat("slurmctld may not take the token in ", file,
                        ", if it was made with another key or for another user: ", make);
  }
  return "";
}

class SlurmRest : public SlurmTransport {
 public:
  explicit SlurmRest(const SlurmSettings& settings) : settings_(settings) {}

  absl::StatusOr<std::string> Submit(const std::vector<std::string>& options,
                                     const std::string& script, absl::Duration within) override {
    const std::string body = RestSubmission(options, script, settings_.bin);
    IJEPA_ASSIGN_OR_RETURN(const Answered answered, Call("POST", "/job/submit", body, within));
    IJEPA_RETURN_IF_ERROR(Judge(answered));
    return ParseRestSubmit(answered.http.body);
  }

  absl::Status Cancel(const std::string& number, absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(const Answered answered,
                           Call("DELETE", absl::StrCat("/job/", number), "", within));
    for (const char* gone : {"Invalid job id specified", "Job/step already completing"}) {
      if (absl::StrContains(answered.http.body, gone)) return absl::OkStatus();
    }
    return Judge(answered);
  }

  absl::StatusOr<std::vector<ObservedAllocation>> List(const std::string& prefix,
                                                       absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(const Answered answered, Call("GET", "/jobs", "", within));
    IJEPA_RETURN_IF_ERROR(Judge(answered));
    return ParseRestJobs(answered.http.body, prefix, answered.token.user);
  }

  absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) override {
    IJEPA_ASSIGN_OR_RETURN(const Answered answered, Call("GET", "/nodes", "", within));
    IJEPA_RETURN_IF_ERROR(Judge(answered));
    return ParseRestNodes(answered.http.body);
  }

  void Interrupt() override { http_.Interrupt(); }

 private:
  struct Answered {
    HttpAnswer http;
    SlurmToken token;
  };

  absl::StatusOr<SlurmToken> Token() const {
    absl::StatusOr<std::string> text = ReadFile(settings_.rest_token_file);
    absl::StatusOr<SlurmToken> token =
        text.ok() ? ReadSlurmToken(*text) : absl::StatusOr<SlurmToken>(text.status());
    if (!token.ok()) {
      return absl::UnavailableError(absl::StrCat(
          "backends.slurm.rest_token_file ", settings_.rest_token_file, ": ",
          token.status().message(), "; write it with scontrol token lifespan=SECONDS"));
    }
    if (!settings_.rest_user.empty()) token->user = settings_.rest_user;
    return token;
  }

  absl::StatusOr<Answered> Call(const char* method, const std::string& path,
                                const std::string& body, absl::Duration within) {
    Answered answered;
    IJEPA_ASSIGN_OR_RETURN(answered.token, Token());
    HttpCall call;
    call.method = method;
    call.url = absl::StrCat(settings_.rest, kVersion, path);
    call.headers = {absl::StrCat("X-SLURM-USER-NAME: ", answered.token.user),
                    absl::StrCat("X-SLURM-USER-TOKEN: ", answered.token.text),
                    "Content-Type: application/json", "Accept: application/json"};
    call.body = body;
    call.authority = settings_.rest_authority;
    absl::StatusOr<HttpAnswer> http = http_.Call(call, within);
    if (!http.ok()) {
      // A certificate that is not trusted may be mended any time, too.
      const bool untrusted = absl::IsUnauthenticated(http.status());
      return absl::UnavailableError(absl::StrCat("slurmrestd at ", http.status().message(),
                                                 untrusted ? kCertificateAdvice : ""));
    }
    answered.http = *std::move(http);
    return answered;
  }

  absl::Status Judge(const Answered& answered) const {
    return RestError(answered.http, answered.token, settings_.rest_token_file, Clock::Real().Now());
  }

  const SlurmSettings settings_;
  HttpClient http_;
};

}  // namespace

absl::StatusOr<SlurmToken> ReadSlurmToken(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  absl::ConsumePrefix(&text, "SLURM_JWT=");
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  std::string claims;
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  json read;
  if (printable && text.size() <= kMaxTokenBytes && parts.size() == 3 &&
      absl::WebSafeBase64Unescape(parts[1], &claims)) {
    read = json::parse(claims, nullptr, false);
  }
  if (!read.is_object()) return absl::InvalidArgumentError("it holds no JSON Web Token");
  SlurmToken token;
  token.text = std::string(text);
  token.user = TextOf(read, "sun");
  if (const int64_t end = NumberOf(read, "exp"); end > 0) token.end = absl::FromUnixSeconds(end);
  return token;
}

std::string RestSubmission(const std::vector<std::string>& options, const std::string& script,
                           const std::string& bin) {
  json job = {{"environment", {{"PATH", bin.empty() ? kPath : absl::StrCat(bin, ":", kPath)}}}};
  for (absl::string_view option : options) {
    absl::ConsumePrefix(&option, "--");
    const std::vector<std::string> parts = absl::StrSplit(option, absl::MaxSplits('=', 1));
    const auto named = Properties().find(parts[0]);
    const std::string property =
        named == Properties().end() ? absl::StrReplaceAll(parts[0], {{"-", "_"}}) : named->second;
    // The first counts: ours come before those of the job, which may have other names for them.
    if (parts[0] == "no-requeue") {
      job.emplace("requeue", false);
    } else if (parts.size() == 1) {
      job.emplace(property, true);
    } else {
      job.emplace(property,
                  std::string(absl::StripPrefix(parts[1], property == "signal" ? "B:" : "")));
    }
  }
  return json{{"job", std::move(job)}, {"script", script}}.dump(-1, ' ', false,
                                                                json::error_handler_t::replace);
}

absl::StatusOr<std::string> ParseRestSubmit(const std::string& body) {
  const json answer = json::parse(body, nullptr, false);
  const int64_t number = answer.is_object() ? NumberOf(answer, "job_id") : 0;
  if (number <= 0) return NotUnderstood("job_id");
  return absl::StrCat(number);
}

absl::StatusOr<std::vector<ObservedAllocation>> ParseRestJobs(const std::string& body,
                                                              absl::string_view prefix,
                                                              absl::string_view user) {
  const json answer = ParseList(body, {"job_id", "name", "user_name", "job_state", "state_reason",
                                       "nodes", "restart_cnt", "exit_code"});
  if (!answer.is_object() || !answer.contains("jobs") || !answer["jobs"].is_array()) {
    return NotUnderstood("jobs");
  }
  std::vector<ObservedAllocation> found;
  for (const json& job : answer["jobs"]) {
    if (!job.is_object()) return NotUnderstood("jobs");
    SlurmJob seen;
    seen.name = TextOf(job, "name");
    if (TextOf(job, "user_name") != user || !absl::StartsWith(seen.name, prefix)) continue;
    seen.number = absl::StrCat(NumberOf(job, "job_id"));
    seen.state = TextOf(job, "job_state");
    seen.reason = TextOf(job, "state_reason");
    seen.nodes = TextOf(job, "nodes");
    seen.restarts = NumberOf(job, "restart_cnt");
    seen.exit_status = NumberOf(job, "exit_code");
    if (seen.state.empty()) return NotUnderstood("job_state");
    found.push_back(ObserveSlurmJob(seen, prefix));
  }
  return found;
}

absl::StatusOr<std::vector<BackendNode>> ParseRestNodes(const std::string& body) {
  const json answer = ParseList(body, {"name", "state", "state_flags", "reason"});
  if (!answer.is_object() || !answer.contains("nodes") || !answer["nodes"].is_array()) {
    return NotUnderstood("nodes");
  }
  std::vector<BackendNode> nodes;
  for (const json& seen : answer["nodes"]) {
    if (!seen.is_object()) return NotUnderstood("nodes");
    std::vector<std::string> words = {TextOf(seen, "state")};
    bool usable = IsUsableSlurmNode(words[0]);
    for (const json& flag : seen.value("state_flags", json::array())) {
      words.push_back(absl::AsciiStrToLower(flag.is_string() ? flag.get<std::string>() : "?"));
      usable = usable && IsUsableSlurmNode(words.back());
    }
    nodes.push_back(
        {TextOf(seen, "name"), absl::StrJoin(words, "+"), TextOf(seen, "reason"), usable});
  }
  return nodes;
}

absl::Status RestError(const HttpAnswer& answer, const SlurmToken& token, const std::string& file,
                       absl::Time now) {
  const std::vector<std::string> lines = WordsOf(answer);
  if (lines.empty()) return absl::OkStatus();
  const std::string words = absl::StrJoin(lines, "\n");
  const absl::Status error = SlurmError("slurmrestd", words);
  const std::string advice = TokenAdvice(answer, words, token, file, now);
  if (advice.empty()) return error;
  return absl::UnavailableError(absl::StrCat(error.message(), "; ", advice));
}

std::unique_ptr<SlurmTransport> MakeSlurmRest(const SlurmSettings& settings) {
  return std::make_unique<SlurmRest>(settings);
}

}  // namespace ijepa::coordinator
