// See sim_clients.h.
#include "sim_clients.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::sim {

void SimClients::Submit(int most_ranks) {
  v1::JobSpec spec;
  const int number = next_request_++;
  spec.set_name(absl::StrCat("job-", number));
  const int ranks = random_.Within(1, most_ranks);
  spec.mutable_ranks()->set_max(ranks);
  spec.mutable_ranks()->set_min(random_.Chance(0.3) ? random_.Within(1, ranks) : ranks);
  spec.set_shards(ranks);
  spec.set_priority(random_.Chance(0.2) ? random_.Within(-5, 5) : 0);
  spec.set_max_restarts(random_.Within(0, 6));
  spec.set_max_no_progress(random_.Within(1, 4));
  spec.set_restart_delay_seconds(random_.Chance(0.5) ? 0 : 2);
  spec.set_device("auto");
  static constexpr const char* kQueues[] = {"default", "owner", "small"};
  static constexpr const char* kClasses[] = {"low", "normal", "normal", "high"};
  spec.set_queue(kQueues[random_.Below(3)]);
  if (random_.Chance(0.4)) spec.set_priority_class(kClasses[random_.Below(4)]);
  if (random_.Chance(0.3)) spec.set_time_limit(absl::StrCat(random_.Within(10, 90), "s"));
  if (random_.Chance(0.2)) spec.set_preemptible(false);
  if (random_.Chance(0.2)) spec.mutable_topology()->set_required(v1::TOPOLOGY_LEVEL_RACK);
  spec.mutable_checkpoint()->set_keep_last(random_.Within(1, 3));
  // The simulated ranks take it for steps.
  spec.mutable_optimization()->set_epochs(random_.Within(1, 60));
  ++waiting_;
  Create(absl::StrCat("request-", number), spec);
}

bool SimClients::Repeats(const absl::Status& status, std::function<void()> again) {
  if (!absl::IsUnavailable(status) && !absl::IsAlreadyExists(status)) return false;
  events_.After(random_.Within(absl::Milliseconds(200), absl::Seconds(2)), std::move(again));
  return true;
}

void SimClients::Create(const std::string& request_id, const v1::JobSpec& spec) {
  coordinator::CreateJob command;
  command.spec = spec;
  command.request_id = request_id;
  command.digest = static_cast<uint64_t>(spec.ranks().max());
  // Drawn for each call, as the service does.
  command.id = absl::StrCat(spec.name(), "-", next_id_);
  command.uid = absl::StrCat("uid", next_id_++);
  command.queue_anyway = true;
  coordinator_.Post(command, [this, request_id, spec](absl::StatusOr<v1::Job> job) {
    const auto again = [this, request_id, spec] { Create(request_id, spec); };
    if (Repeats(job.status(), again)) return;
    --waiting_;
    if (!job.ok()) {
      auditor_.Violated(absl::StrCat("a submit was refused: ", job.status().message()));
      return;
    }
    auditor_.Acknowledged(request_id, *job);
    if (std::find(names_.begin(), names_.end(), job->name()) == names_.end()) {
      names_.push_back(job->name());
    }
    // The answer may have been lost on the way: the same again.
    if (random_.Chance(0.2)) {
      ++waiting_;
      events_.After(random_.Within(absl::Milliseconds(10), absl::Seconds(20)), again);
    }
  });
}

void SimClients::Cancel(const std::string& name) {
  coordinator_.Post(coordinator::CancelJob{0, name}, [this, name](absl::StatusOr<v1::Job> job) {
    if (Repeats(job.status(), [this, name] { Cancel(name); })) return;
    --waiting_;
    if (!job.ok()) {
      auditor_.Violated(absl::StrCat("cancel of ", name, ": ", job.status().message()));
    }
  });
}

void SimClients::CancelOne() {
  if (names_.empty()) return;
  ++waiting_;
  Cancel(names_[random_.Below(static_cast<int>(names_.size()))]);
}

void SimClients::CancelHopeless() {
  if (!coordinator_.up()) return;
  for (const auto& [id, job] : coordinator_.state().jobs) {
    if (job.proto.status().reason().code() != coordinator::kTooLarge) continue;
    ++waiting_;
    Cancel(job.proto.name());
  }
}

void SimClients::Uncordon(const std::string& node) {
  coordinator_.Post(coordinator::CordonNode{0, node, false, ""},
                    [this, node](absl::StatusOr<v1::Job> done) {
                      (void)Repeats(done.status(), [this, node] { Uncordon(node); });
                    });
}

void SimClients::PinOne() {
  if (names_.empty() || !coordinator_.up()) return;
  const std::string& name = names_[random_.Below(static_cast<int>(names_.size()))];
  const coordinator::Job* job = coordinator::FindJob(coordinator_.state(), name);
  if (job == nullptr || job->checkpoints.empty()) return;
  coordinator::PinCheckpoint pin;
  pin.name = absl::StrCat(name, "/checkpoints/", coordinator::CommittedStep(*job));
  pin.pinned = random_.Chance(0.6);
  coordinator_.Post(pin, [](absl::StatusOr<v1::Job>) {});
}

}  // namespace ijepa::sim
