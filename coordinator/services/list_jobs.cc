// See list_jobs.h. A page token is the number of the last job shown and the filter it was made
// with, in base64: opaque, so that it can change.
#include "coordinator/services/list_jobs.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1000;

std::string FilterOf(const v1::ListJobsRequest& request) {
  const std::set<int> states(request.states().begin(), request.states().end());
  return absl::StrJoin(states, ",");
}

std::string MakeToken(int64_t number, const v1::ListJobsRequest& request) {
  return absl::WebSafeBase64Escape(absl::StrCat("1:", number, ":", FilterOf(request)));
}

// Number below which the page begins.
absl::StatusOr<int64_t> ReadToken(const v1::ListJobsRequest& request) {
  if (request.page_token().empty()) return std::numeric_limits<int64_t>::max();
  std::string text;
  int64_t number = 0;
  const bool decoded = absl::WebSafeBase64Unescape(request.page_token(), &text);
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (!decoded || parts.size() != 3 || parts[0] != "1" || !absl::SimpleAtoi(parts[1], &number)) {
    return absl::InvalidArgumentError("page_token is damaged; start again without it");
  }
  if (parts[2] != FilterOf(request)) {
    return absl::InvalidArgumentError(
        "page_token belongs to a request with other states; start again without it");
  }
  return number;
}

v1::Job Brief(const v1::Job& job) {
  v1::Job brief = job;
  brief.mutable_status()->clear_attempts();
  brief.mutable_status()->clear_events();
  brief.mutable_status()->clear_curve();
  return brief;
}

}  // namespace

absl::StatusOr<v1::ListJobsResponse> ListJobs(const State& state,
                                              const v1::ListJobsRequest& request) {
  if (request.page_size() < 0 || request.page_size() > kLargestPage) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size is ", request.page_size(), "; must be in [0, ", kLargestPage, "]"));
  }
  IJEPA_ASSIGN_OR_RETURN(const int64_t below, ReadToken(request));
  const int size = request.page_size() == 0 ? kDefaultPage : request.page_size();
  const std::set<int> states(request.states().begin(), request.states().end());
  v1::ListJobsResponse response;
  int64_t last = 0;
  auto it = std::make_reverse_iterator(state.ids_by_number.lower_bound(below));
  for (; it != state.ids_by_number.rend(); ++it) {
    const Job& job = state.jobs.at(it->second);
    if (!states.empty() && states.count(job.state()) == 0) continue;
    if (response.jobs_size() == size) {
      response.set_next_page_token(MakeToken(last, request));
      break;
    }
    *response.add_jobs() = Brief(job.proto);
    last = it->first;
  }
  return response;
}

}  // namespace ijepa::coordinator
