// See outside_jobs.h.
#include "coordinator/core/outside_jobs.h"

namespace ijepa::coordinator {
namespace {

OutsideJobs::Order OrderOf(const OutsideJob& job) {
  return {-job.class_value, !job.recovering, -job.priority, job.number};
}

int64_t CountIn(const std::map<std::string, int64_t>& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

}  // namespace

void OutsideJobs::Enter(const OutsideJob& job) { lines_[job.queue][OrderOf(job)] = job.id; }

bool OutsideJobs::Update(const OutsideJob& job) {
  const auto known = jobs_.find(job.id);
  if (known != jobs_.end() && known->second == job) return false;
  Remove(job.id);
  jobs_[job.id] = job;
  ++waiting_in_[job.queue];
  const bool enters = !job.asked && job.not_before <= absl::ZeroDuration();
  if (job.asked) {
    ranks_asked_[job.queue] += job.ranks;
    ++asked_of_[job.backend];
    if (job.deadline != absl::InfiniteDuration()) deadlines_.insert({job.deadline, job.id});
  } else if (!enters) {
    // Nobody knows the time here: it is let in by the next Wake.
    asleep_.insert({job.not_before, job.id});
  } else {
    Enter(job);
  }
  return enters;
}

void OutsideJobs::Remove(const std::string& id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  const OutsideJob& job = found->second;
  --waiting_in_[job.queue];
  if (job.asked) {
    ranks_asked_[job.queue] -= job.ranks;
    --asked_of_[job.backend];
    deadlines_.erase({job.deadline, id});
  } else if (asleep_.erase({job.not_before, id}) == 0) {
    const auto line = lines_.find(job.queue);
    line->second.erase(OrderOf(job));
    if (line->second.empty()) lines_.erase(line);
  }
  jobs_.erase(found);
}

bool OutsideJobs::Wake(absl::Duration now) {
  bool any = false;
  while (!asleep_.empty() && asleep_.begin()->first <= now) {
    Enter(jobs_.at(asleep_.begin()->second));
    asleep_.erase(asleep_.begin());
    any = true;
  }
  return any;
}

const OutsideJob* OutsideJobs::Find(const std::string& id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

int64_t OutsideJobs::RanksAsked(const std::string& queue) const {
  return CountIn(ranks_asked_, queue);
}

int64_t OutsideJobs::AskedOf(const std::string& backend) const {
  return CountIn(asked_of_, backend);
}

int64_t OutsideJobs::WaitingIn(const std::string& queue) const {
  return CountIn(waiting_in_, queue);
}

std::vector<std::string> OutsideJobs::Overdue(absl::Duration now) const {
  std::vector<std::string> overdue;
  for (auto it = deadlines_.begin(); it != deadlines_.end() && it->first <= now; ++it) {
    overdue.push_back(it->second);
  }
  return overdue;
}

}  // namespace ijepa::coordinator
