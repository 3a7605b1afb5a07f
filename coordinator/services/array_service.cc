// See job_service.h: ArrayService.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/services/digest.h"
#include "coordinator/services/job_service.h"
#include "coordinator/services/submission.h"

namespace ijepa::coordinator {
namespace {

using Unary = grpc::ServerUnaryReactor;

// Of the newest probe; below 0 without one.
double ScoreOf(const v1::Job& job) {
  const auto& probes = job.status().probes();
  if (probes.empty() || probes.rbegin()->scores().empty()) return -1;
  double sum = 0;
  for (const v1::ProbeScore& score : probes.rbegin()->scores()) sum += score.accuracy();
  return sum / probes.rbegin()->scores_size();
}

v1::JobArray Summarise(const std::string& name, v1::ListJobsResponse jobs) {
  v1::JobArray array;
  array.set_name(name);
  *array.mutable_jobs() = std::move(*jobs.mutable_jobs());
  std::sort(
      array.mutable_jobs()->begin(), array.mutable_jobs()->end(),
      [](const v1::Job& a, const v1::Job& b) { return a.array().index() < b.array().index(); });
  std::map<v1::JobState, int> counts;
  double best = -1;
  for (const v1::Job& job : array.jobs()) {
    ++counts[job.status().state()];
    const double score = ScoreOf(job);
    if (score <= best) continue;
    best = score;
    array.set_best_job(job.name());
  }
  for (const auto& [state, count] : counts) {
    v1::StateCount& entry = *array.add_states();
    entry.set_state(state);
    entry.set_count(count);
  }
  return array;
}

}  // namespace

void ArrayService::Read(const std::string& name, Answer answer) {
  v1::ListJobsRequest request;
  request.set_array(name);
  request.set_project(ProjectOf(name));
  request.set_page_size(1000);  // As many as an array has at most.
  reader_.List(request, [name, answer](absl::StatusOr<v1::ListJobsResponse> jobs) {
    if (!jobs.ok()) return answer(jobs.status());
    if (jobs->jobs().empty()) {
      return answer(absl::NotFoundError(absl::StrCat("there is no array ", name)));
    }
    const std::string whole = jobs->jobs(0).array().array();
    answer(Summarise(whole, *std::move(jobs)));
  });
}

Unary* ArrayService::CreateArray(Context* context, const v1::CreateArrayRequest* request,
                                 v1::JobArray* response) {
  static constexpr char kMethod[] = "ArrayService/CreateArray";
  const std::string project = ProjectAsked(request->project());
  return calls_.Run({*context, kMethod, project}, [&](Unary* reactor, const Caller& caller) {
    const Answer done = FinishWith(reactor, response);
    absl::StatusOr<coordinator::CreateArray> command = ArrayCommand(*request, random_);
    if (!command.ok()) return done(command.status());
    for (CreateJob& job : command->jobs) job.user = caller.user;
    const bool validate_only = request->validate_only();
    calls_.state().Call(
        *std::move(command),
        [this, done, validate_only](absl::StatusOr<v1::Job> first) {
          if (!first.ok()) return done(first.status());
          if (!validate_only) return Read(first->array().array(), done);
          v1::ListJobsResponse alone;
          const std::string name = first->array().array();
          *alone.add_jobs() = *std::move(first);
          done(Summarise(name, std::move(alone)));
        },
        ClientCalls::LineOf(kMethod, "", caller));
  });
}

Unary* ArrayService::GetArray(Context* context, const v1::GetArrayRequest* request,
                              v1::JobArray* response) {
  return calls_.Run(
      {*context, "ArrayService/GetArray", ProjectOf(request->name())},
      [&](Unary* reactor, const Caller&) { Read(request->name(), FinishWith(reactor, response)); });
}

Unary* ArrayService::CancelArray(Context* context, const v1::CancelArrayRequest* request,
                                 v1::JobArray* response) {
  static constexpr char kMethod[] = "ArrayService/CancelArray";
  const std::string project = ProjectOf(request->name());
  return calls_.Run({*context, kMethod, project}, [&](Unary* reactor, const Caller& caller) {
    const Answer done = FinishWith(reactor, response);
    coordinator::CancelArray command{.name = request->name(),
                                     .request_id = request->request_id(),
                                     .digest = DigestOf(*request, "CancelArray")};
    Read(request->name(), [this, command, done, line = ClientCalls::LineOf(kMethod, "", caller)](
                              absl::StatusOr<v1::JobArray> array) mutable {
      if (!array.ok()) return done(array.status());
      line.resource = array->name();
      calls_.state().Call(
          std::move(command),
          [this, done, name = array->name()](absl::StatusOr<v1::Job> cancelled) {
            if (!cancelled.ok()) return done(cancelled.status());
            Read(name, done);
          },
          std::move(line));
    });
  });
}

}  // namespace ijepa::coordinator
