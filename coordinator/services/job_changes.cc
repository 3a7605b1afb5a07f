// See job_changes.h.
#include "coordinator/services/job_changes.h"

#include <algorithm>

#include "coordinator/core/lifecycle.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {

void JobChanges::Changed(const Job& job) {
  const std::string& reason = job.proto.status().reason().code();
  Entry entry;
  const auto place = places_.find(job.id);
  if (place != places_.end()) {
    Entry& old = entries_.at(place->second);
    if (old.job_revision == job.revision && old.reason == reason) return;
    entry = std::move(old);
    entries_.erase(place->second);
  }
  ++revision_;
  if (entry.state != v1::JOB_STATE_UNSPECIFIED && entry.state != job.state()) {
    std::erase_if(entry.left, [&](const auto& past) { return past.first == entry.state; });
    entry.left.emplace_back(entry.state, revision_);
  }
  entry.id = job.id;
  entry.job_revision = job.revision;
  entry.reason = reason;
  if (IsTerminal(job.state())) {
    if (!IsTerminal(entry.state)) ended_.push_back(job.id);
    entry.last = std::make_shared<const v1::Job>(BriefOf(job.proto));
  }
  entry.state = job.state();
  places_[job.id] = revision_;
  entries_.emplace(revision_, std::move(entry));
  if (ended_.size() <= most_ended_) return;
  const auto oldest = places_.find(ended_.front());
  forgotten_ = std::max(forgotten_, oldest->second);
  entries_.erase(oldest->second);
  places_.erase(oldest);
  ended_.pop_front();
}

}  // namespace ijepa::coordinator
