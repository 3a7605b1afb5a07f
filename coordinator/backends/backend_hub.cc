// See backend_hub.h.
#include "coordinator/backends/backend_hub.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {

void BackendHub::Add(std::unique_ptr<BackendDriver> driver) {
  const std::string name = driver->backend().name();
  drivers_[name] = std::move(driver);
}

void BackendHub::Start(const BackendDriver::Report& report) {
  for (auto& [name, driver] : drivers_) driver->Start(report);
  {
    std::lock_guard lock(mutex_);
    report_ = report;
  }
  TellLost();
}

void BackendHub::TellLost() {
  std::vector<AllocationEnded> lost;
  BackendDriver::Report report;
  {
    std::lock_guard lock(mutex_);
    if (!report_) return;
    report = report_;
    lost.swap(lost_);
  }
  for (AllocationEnded& one : lost) report(std::move(one));
}

void BackendHub::Stop() {
  for (auto& [name, driver] : drivers_) driver->Stop();
}

absl::Status BackendHub::Validate(const v1::JobSpec& spec) const {
  const std::string queue = spec.queue().empty() ? kDefaultQueueName : spec.queue();
  const auto found = drivers_.find(RulesOf(rules_, queue).backend);
  return found == drivers_.end() ? absl::OkStatus() : found->second->backend().Validate(spec);
}

std::map<std::string, NodesSeen> BackendHub::Nodes() const {
  std::map<std::string, NodesSeen> nodes;
  for (const auto& [name, driver] : drivers_) nodes.emplace(name, driver->Nodes());
  return nodes;
}

std::optional<WantedAllocation> BackendHub::WantedFor(const Job* job) const {
  if (job == nullptr || !job->proto.status().has_allocation()) return std::nullopt;
  const v1::Allocation& allocation = job->proto.status().allocation();
  WantedAllocation wanted;
  wanted.request.id = {job->id, job->proto.uid(), allocation.generation()};
  wanted.request.ranks = allocation.ranks();
  wanted.request.spec = std::make_shared<const v1::JobSpec>(job->proto.spec());
  wanted.request.token = tokens_.For(job->proto.uid(), allocation.generation());
  wanted.handle = allocation.handle();
  wanted.released = allocation.phase() == v1::ALLOCATION_PHASE_RELEASED;
  return wanted;
}

void BackendHub::Changed(const std::string& uid, const Job* job) {
  const std::optional<WantedAllocation> wanted = WantedFor(job);
  for (auto& [name, driver] : drivers_) {
    const bool here = wanted.has_value() && job->proto.status().allocation().backend() == name;
    driver->Want(uid, here ? wanted : std::nullopt);
  }
}

void BackendHub::Reset(const State& state) {
  std::vector<AllocationEnded> lost;
  std::map<std::string, std::map<std::string, WantedAllocation>> all;
  for (const auto& [id, job] : state.jobs) {
    const std::optional<WantedAllocation> wanted = WantedFor(&job);
    if (!wanted.has_value()) continue;
    const std::string& backend = job.proto.status().allocation().backend();
    all[backend].emplace(job.proto.uid(), *wanted);
    if (drivers_.count(backend) > 0) continue;
    lost.push_back({job.proto.uid(), wanted->request.id.generation, wanted->handle,
                    AllocationEnd::kVanished, "it is no longer in the settings' backends", "", ""});
  }
  {
    std::lock_guard lock(mutex_);
    lost_ = std::move(lost);
  }
  TellLost();
  for (auto& [name, driver] : drivers_) driver->Reset(std::move(all[name]));
}

}  // namespace ijepa::coordinator
