// See job_reader.h. The present is read before the past: a job that is sealed in between is seen
// twice and shown once, never missed.
#include "coordinator/services/job_reader.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/retention.h"
#include "coordinator/core/sealing.h"
#include "coordinator/history_thread.h"
#include "coordinator/services/list_jobs.h"
#include "coordinator/services/list_watchers.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

absl::Status NoState() { return absl::UnavailableError("the store cannot be read"); }

v1::ListCheckpointsResponse Describe(const State& state, const Job& job) {
  v1::ListCheckpointsResponse response;
  for (size_t i = job.checkpoints.size(); i-- > 0;) {
    v1::Checkpoint& checkpoint = *response.add_checkpoints();
    checkpoint = job.checkpoints[i];
    for (std::string& reason : KeptFor(state, job, i)) {
      checkpoint.add_kept_for(std::move(reason));
    }
  }
  return response;
}

// As much of the job as says what keeps its checkpoints.
Job JobFrom(v1::SealedJob sealed) {
  Job job;
  job.id = JobId(sealed.job().name());
  job.proto = std::move(*sealed.mutable_job());
  job.checkpoints.assign(sealed.checkpoints().begin(), sealed.checkpoints().end());
  return job;
}

}  // namespace

void JobReader::FindPast(const std::string& name, Answer<v1::SealedJob> answer) {
  const absl::Status taken = history_.TryRead([name, answer](absl::StatusOr<History*> history) {
    if (absl::IsNotFound(history.status())) return answer(NoJob(name));
    if (!history.ok()) return answer(history.status());
    auto found = coordinator::FindPast(**history, JobId(name));
    if (!found.ok()) return answer(found.status());
    if (!found->has_value() || !IsMeantBy(name, (*found)->job().name())) {
      return answer(NoJob(name));
    }
    answer(**std::move(found));
  });
  if (!taken.ok()) answer(taken);
}

void JobReader::Find(const std::string& asked, Answer<v1::Job> answer) {
  const std::string name = WholeJobName(asked);
  const absl::Status taken = state_.TryRead([this, name, answer](const State* state) {
    if (state == nullptr) return answer(NoState());
    if (const Job* job = FindJob(*state, name)) return answer(job->proto);
    FindPast(name, [answer](absl::StatusOr<v1::SealedJob> past) {
      if (!past.ok()) return answer(past.status());
      answer(std::move(*past->mutable_job()));
    });
  });
  if (!taken.ok()) answer(taken);
}

void JobReader::FindWhole(const std::string& asked, Answer<v1::SealedJob> answer) {
  const std::string name = WholeJobName(asked);
  const absl::Status taken = state_.TryRead([this, name, answer](const State* state) {
    if (state == nullptr) return answer(NoState());
    const Job* job = FindJob(*state, name);
    if (job == nullptr) return FindPast(name, answer);
    v1::SealedJob whole;
    whole.set_number(job->number);
    *whole.mutable_job() = job->proto;
    whole.mutable_checkpoints()->Assign(job->checkpoints.begin(), job->checkpoints.end());
    answer(std::move(whole));
  });
  if (!taken.ok()) answer(taken);
}

void JobReader::FindCheckpoints(const std::string& asked,
                                Answer<v1::ListCheckpointsResponse> answer) {
  const std::string name = WholeJobName(asked);
  const absl::Status taken = state_.TryRead([this, name, answer](const State* state) {
    if (state == nullptr) return answer(NoState());
    if (const Job* job = FindJob(*state, name)) return answer(Describe(*state, *job));
    FindPast(name, [this, answer](absl::StatusOr<v1::SealedJob> past) {
      if (!past.ok()) return answer(past.status());
      // What reads them now is known where the present is.
      auto job = std::make_shared<Job>(JobFrom(*std::move(past)));
      state_.Read([job, answer](const State* state) {
        answer(state == nullptr ? absl::StatusOr<v1::ListCheckpointsResponse>(NoState())
                                : Describe(*state, *job));
      });
    });
  });
  if (!taken.ok()) answer(taken);
}

void JobReader::List(const v1::ListJobsRequest& request, Answer<v1::ListJobsResponse> answer) {
  absl::StatusOr<ListQuery> query = ReadListQuery(request);
  if (!query.ok()) return answer(query.status());
  const auto finish = [this, answer](const ListQuery& query, JobPage page, int64_t revision) {
    const auto give = [answer, revision](const ListQuery& query, JobPage page) {
      v1::ListJobsResponse response = MakePage(query, std::move(page));
      response.set_revision(revision);
      answer(std::move(response));
    };
    if (!MayBePast(query)) return give(query, std::move(page));
    auto shared = std::make_shared<JobPage>(std::move(page));
    const absl::Status taken =
        history_.TryRead([query, answer, give, shared](absl::StatusOr<History*> history) {
          // A store without history has all jobs live.
          if (!history.ok() && !absl::IsNotFound(history.status())) {
            return answer(history.status());
          }
          absl::Status added =
              history.ok() ? AddPastJobs(query, **history, *shared) : absl::OkStatus();
          if (!added.ok()) return answer(added);
          give(query, std::move(*shared));
        });
    if (!taken.ok()) answer(taken);
  };
  const absl::Status taken =
      state_.TryRead([this, query = *std::move(query), answer, finish](const State* state) {
        if (state == nullptr) return answer(NoState());
        finish(query, LiveJobs(query, *state), watchers_.Revision());
      });
  if (!taken.ok()) answer(taken);
}

}  // namespace ijepa::coordinator
