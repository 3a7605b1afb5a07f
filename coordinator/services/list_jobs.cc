// See list_jobs.h. A page token is the number of the last job shown and a digest of the filter it
// was made with, in base64: opaque, so that it can change.
#include "coordinator/services/list_jobs.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/sealing.h"
#include "coordinator/services/digest.h"
#include "coordinator/services/page_size.h"
#include "coordinator/services/submission.h"

namespace ijepa::coordinator {
namespace {

constexpr int kMaxLabels = 16;
constexpr char kNewestFirst[] = "number desc";
constexpr char kOldestFirst[] = "number";

// Sets where the page begins.
absl::Status ReadToken(const std::string& token, ListQuery& query) {
  if (token.empty()) return absl::OkStatus();
  std::string text;
  int64_t number = 0;
  const bool decoded = absl::WebSafeBase64Unescape(token, &text);
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (!decoded || parts.size() != 3 || parts[0] != "2" || !absl::SimpleAtoi(parts[1], &number)) {
    return absl::InvalidArgumentError("page_token is damaged; start again without it");
  }
  if (parts[2] != query.digest) {
    return absl::InvalidArgumentError(
        "page_token belongs to a request with another filter or order; start again without it");
  }
  (query.jobs.newest_first ? query.jobs.below : query.jobs.above) = number;
  return absl::OkStatus();
}

// Of a list, or of who watches one.
template <typename Request>
absl::Status ReadFilter(const Request& request, JobQuery& query) {
  for (const int state : request.states()) {
    if (!v1::JobState_IsValid(state) || state == v1::JOB_STATE_UNSPECIFIED) {
      return absl::InvalidArgumentError(absl::StrCat("states has ", state, "; that is no state"));
    }
    query.states.insert(static_cast<v1::JobState>(state));
  }
  for (const std::string& label : request.labels()) {
    if (label.find('=') == std::string::npos || label[0] == '@') {
      return absl::InvalidArgumentError(
          absl::StrCat("labels has ", label, "; must be key=value, such as team=vision"));
    }
    query.labels.push_back(label);
  }
  if (query.labels.size() > kMaxLabels) {
    return absl::InvalidArgumentError(
        absl::StrCat("labels has ", query.labels.size(), " entries; at most ", kMaxLabels));
  }
  if (!request.array().empty()) query.labels.push_back(ArrayLabel(request.array()));
  // Last: lists of history walk the first.
  const std::string project = ProjectAsked(request.project());
  if (project != kAllProjects) query.labels.push_back(ProjectLabel(project));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobQuery> ReadWatchFilter(const v1::WatchJobsRequest& request) {
  if (request.revision() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "revision is ", request.revision(), "; must be that of an answer, or 0 to begin anew"));
  }
  JobQuery query;
  IJEPA_RETURN_IF_ERROR(ReadFilter(request, query));
  return query;
}

absl::StatusOr<ListQuery> ReadListQuery(const v1::ListJobsRequest& request) {
  ListQuery query;
  IJEPA_ASSIGN_OR_RETURN(query.size, PageSize(request.page_size()));
  IJEPA_RETURN_IF_ERROR(ReadFilter(request, query.jobs));
  if (request.order_by() == kOldestFirst) {
    query.jobs.newest_first = false;
  } else if (!request.order_by().empty() && request.order_by() != kNewestFirst) {
    return absl::InvalidArgumentError(absl::StrCat("order_by is \"", request.order_by(),
                                                   "\"; must be \"", kNewestFirst, "\" or \"",
                                                   kOldestFirst, "\""));
  }
  query.digest = absl::StrCat(absl::Hex(
      Fnv1a(absl::StrCat(absl::StrJoin(query.jobs.states, ","), "|",
                         absl::StrJoin(query.jobs.labels, "|"), "|", query.jobs.newest_first))));
  IJEPA_RETURN_IF_ERROR(ReadToken(request.page_token(), query));
  return query;
}

JobPage LiveJobs(const ListQuery& query, const State& state) {
  JobPage page;
  state.index.Find(query.jobs, [&](int64_t number) {
    page.emplace(number, BriefOf(state.jobs.at(state.ids_by_number.at(number)).proto));
    return static_cast<int>(page.size()) <= query.size;
  });
  return page;
}

bool MayBePast(const ListQuery& query) {
  return query.jobs.states.empty() ||
         std::any_of(query.jobs.states.begin(), query.jobs.states.end(), IsTerminal);
}

absl::Status AddPastJobs(const ListQuery& query, History& history, JobPage& page) {
  HistoryQuery past;
  past.states.insert(query.jobs.states.begin(), query.jobs.states.end());
  past.labels = query.jobs.labels;
  past.above = query.jobs.above;
  past.below = query.jobs.below;
  past.newest_first = query.jobs.newest_first;
  past.limit = query.size + 1;
  IJEPA_ASSIGN_OR_RETURN(const std::vector<BriefRow> rows, history.List(past));
  for (const BriefRow& row : rows) {
    v1::Job job;
    if (!job.ParseFromString(row.brief)) {
      return absl::DataLossError(
          absl::StrCat("history: the brief of job number ", row.number, " cannot be read"));
    }
    page.try_emplace(row.number, std::move(job));
  }
  return absl::OkStatus();
}

v1::ListJobsResponse MakePage(const ListQuery& query, JobPage page) {
  v1::ListJobsResponse response;
  int64_t last = 0;
  const auto take = [&](auto& entry) {
    if (response.jobs_size() == query.size) {
      response.set_next_page_token(
          absl::WebSafeBase64Escape(absl::StrCat("2:", last, ":", query.digest)));
      return false;
    }
    *response.add_jobs() = std::move(entry.second);
    last = entry.first;
    return true;
  };
  if (query.jobs.newest_first) {
    static_cast<void>(std::all_of(page.rbegin(), page.rend(), take));
  } else {
    static_cast<void>(std::all_of(page.begin(), page.end(), take));
  }
  return response;
}

}  // namespace ijepa::coordinator
