// See waiting_jobs.h.
#include "coordinator/core/waiting_jobs.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ijepa::coordinator {
namespace {

// The same for jobs that are the same to the scheduler.
std::string KeyOf(const QueuedJob& job) {
  return absl::StrCat(job.queue, "|", job.class_value, "|", job.recovering, "|", job.device, "|",
                      job.bf16, "|", absl::StrJoin(job.sizes, ","), "|",
                      static_cast<int>(job.preferred), "|", static_cast<int>(job.required), "|",
                      absl::FormatDuration(job.time_left));
}

JobGroup::Order OrderOf(const QueuedJob& job) { return {-job.priority, job.number}; }

}  // namespace

std::vector<Selection> SelectionsOf(const QueuedJob& job) {
  if (job.device == "cuda") return {{kGpu, false}};
  if (job.device == "cpu") return {{kCpu, job.bf16}, {kGpu, job.bf16}};
  return {{kGpu, false}, {kCpu, job.bf16}};
}

bool WaitingJobs::Enter(Place& place) {
  std::unique_ptr<JobGroup>& group = groups_[place.key];
  if (group == nullptr) {
    group = std::make_unique<JobGroup>();
    group->key = place.key;
    group->like = place.job;
    group->selections = SelectionsOf(place.job);
  }
  place.group = group.get();
  group->jobs[OrderOf(place.job)] = place.job.id;
  fresh_.push_back(place.job.id);
  return group->reason == nullptr || group->jobs.begin()->second == place.job.id;
}

bool WaitingJobs::Update(const QueuedJob& job) {
  const auto known = places_.find(job.id);
  if (known != places_.end() && known->second.job == job) return false;
  Remove(job.id);
  Place& place = places_[job.id];
  place.job = job;
  place.key = KeyOf(job);
  ++by_queue_[job.queue];
  // Nobody knows the time here: it is let in by the next Wake.
  if (job.not_before > absl::ZeroDuration()) {
    sleeping_.insert({job.not_before, job.id});
    return true;
  }
  return Enter(place);
}

void WaitingJobs::Remove(const std::string& id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return;
  Place& place = found->second;
  if (--by_queue_[place.job.queue] == 0) by_queue_.erase(place.job.queue);
  if (place.group == nullptr) {
    sleeping_.erase({place.job.not_before, id});
  } else {
    place.group->jobs.erase(OrderOf(place.job));
    if (place.group->jobs.empty()) groups_.erase(place.key);
  }
  places_.erase(found);
}

bool WaitingJobs::Wake(absl::Duration now) {
  bool any = false;
  while (!sleeping_.empty() && sleeping_.begin()->first <= now) {
    Enter(places_.at(sleeping_.begin()->second));
    sleeping_.erase(sleeping_.begin());
    any = true;
  }
  return any;
}

std::vector<std::string> WaitingJobs::TakeFresh(size_t most) {
  std::vector<std::string> taken;
  while (taken.size() < most && !fresh_.empty()) {
    taken.push_back(std::move(fresh_.back()));
    fresh_.pop_back();
  }
  return taken;
}

JobGroup* WaitingJobs::GroupOf(const std::string& id) {
  const auto found = places_.find(id);
  return found == places_.end() ? nullptr : found->second.group;
}

}  // namespace ijepa::coordinator
