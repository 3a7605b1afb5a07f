// See random_cluster.h.
#include "random_cluster.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

constexpr int kNodes = 14;
constexpr const char* kQueues[] = {kDefaultQueueName, "claims", "limited"};
constexpr int kClasses[] = {-100, 0, 100};

}  // namespace

RandomCluster::RandomCluster(uint32_t seed) : random_(seed) {
  rules.queues["claims"].nominal = 12;
  rules.queues["limited"].limit = 10;
  rules.max_bypass = Draw(3);
  bypassed_ = [](const std::string& id) { return static_cast<int>(id.size() % 2); };
  for (int n = 0; n < kNodes; ++n) ChangeNode(absl::StrCat("n", n));
}

void RandomCluster::UpdateNode(const std::string& name) {
  const auto node = nodes_.find(name);
  if (node == nodes_.end()) return;
  node->second.free = node->second.slots;
  for (const auto& [id, gang] : gangs_) {
    for (const Piece& piece : gang.pieces) {
      if (piece.node == name) node->second.free -= piece.slots;
    }
  }
  cluster.Update(node->second);
}

void RandomCluster::ChangeNode(const std::string& name) {
  NodeView view;
  view.name = name;
  view.slots = 1 + Draw(8);
  view.gpu = Draw(3) == 0;
  view.cpu_bf16 = Draw(3) == 0;
  view.usable = Draw(8) != 0;
  if (Draw(5) != 0) {
    const int rack = Draw(3);
    view.rack = absl::StrCat(rack);
    view.block = absl::StrCat(rack / 2);
    if (Draw(2) == 0) view.island = absl::StrCat(Draw(2));
  }
  nodes_[name] = view;
  UpdateNode(name);
}

void RandomCluster::StartGang() {
  RunningGang gang;
  gang.id = absl::StrCat("gang-", ++number_);
  const bool gpu = Draw(2) == 0;
  const int most = 1 + Draw(4);
  for (const auto& [name, node] : nodes_) {
    if (node.gpu != gpu || node.free <= 0 || static_cast<int>(gang.pieces.size()) == most) continue;
    gang.pieces.push_back({name, 1 + Draw(node.free)});
    gang.slots += gang.pieces.back().slots;
  }
  if (gang.pieces.empty()) return;
  gang.queue = kQueues[Draw(3)];
  gang.class_value = kClasses[Draw(3)];
  gang.start = gang.safe = now_;
  RunningGang& kept = gangs_[gang.id] = std::move(gang);
  ChangeGang(kept);
  for (const Piece& piece : kept.pieces) UpdateNode(piece.node);
}

void RandomCluster::ChangeGang(RunningGang& gang) {
  gang.ending = Draw(5) == 0;
  gang.preemptible = Draw(4) != 0;
  const bool known = gang.ending || Draw(3) != 0;
  gang.end = known ? now_ + absl::Minutes(Draw(240) - 20) : absl::InfiniteDuration();
  if (Draw(2) == 0) gang.safe = now_;
  running.Update(gang);
}

QueuedJob RandomCluster::DrawJob() {
  QueuedJob job;
  job.number = ++number_;
  job.id = absl::StrCat("job-", job.number);
  job.priority = Draw(2);
  job.sizes = {1 + Draw(12)};
  if (Draw(3) == 0 && job.sizes[0] > 1) job.sizes.push_back(job.sizes[0] / 2);
  job.device = Draw(2) == 0 ? "auto" : Draw(2) == 0 ? "cuda" : "cpu";
  job.bf16 = Draw(4) == 0;
  job.queue = kQueues[Draw(3)];
  job.class_value = kClasses[Draw(3)];
  job.recovering = Draw(6) == 0;
  if (Draw(2) == 0) job.time_left = absl::Minutes(10 * (1 + Draw(12)));
  if (Draw(6) == 0) job.not_before = now_ + absl::Minutes(Draw(30));
  job.preferred = static_cast<v1::TopologyLevel>(v1::TOPOLOGY_LEVEL_NODE + Draw(3));
  if (Draw(2) == 0) {
    job.required = static_cast<v1::TopologyLevel>(
        job.preferred + Draw(v1::TOPOLOGY_LEVEL_CLUSTER - job.preferred + 1));
  }
  return job;
}

void RandomCluster::Change() {
  const std::string node = absl::StrCat("n", Draw(kNodes));
  const auto gang = gangs_.empty() ? gangs_.end() : std::next(gangs_.begin(), Draw(gangs_.size()));
  const auto job = jobs_.empty() ? jobs_.end() : std::next(jobs_.begin(), Draw(jobs_.size()));
  switch (Draw(12)) {
    case 0:
      return ChangeNode(node);
    case 1:
      nodes_.erase(node);
      return cluster.Remove(node);
    case 2:
    case 3:
    case 4:
      return StartGang();
    case 5:
      if (gang != gangs_.end()) ChangeGang(gang->second);
      return;
    case 6:
      if (gang != gangs_.end()) {
        const std::vector<Piece> pieces = gang->second.pieces;
        running.Remove(gang->first);
        gangs_.erase(gang);
        for (const Piece& piece : pieces) UpdateNode(piece.node);
      }
      return;
    case 7:
      if (job != jobs_.end()) {
        waiting.Remove(job->first);
        jobs_.erase(job);
      }
      return;
    case 8:
      now_ += absl::Minutes(Draw(20));
      return;
    default:
      const QueuedJob drawn = DrawJob();
      jobs_[drawn.id] = drawn;
      waiting.Update(drawn);
  }
}

ScheduleView RandomCluster::View(const WaitingJobs& queued, RunningGangs& gangs,
                                 ClusterIndex& on) const {
  return {.now = now_,
          .wall = absl::FromUnixSeconds(1'700'000'000),
          .rules = rules,
          .waiting = queued,
          .cluster = on,
          .running = gangs,
          .usage = usage_,
          .bypassed = bypassed_};
}

Plan RandomCluster::PlanWith(const WaitingJobs& queued, RunningGangs& gangs) const {
  ClusterIndex copy = cluster;
  return Schedule(View(queued, gangs, copy));
}

RunningGangs RandomCluster::FreshGangs() const {
  RunningGangs fresh;
  for (const auto& [id, gang] : gangs_) fresh.Update(gang);
  return fresh;
}

void RandomCluster::FillFresh(WaitingJobs& fresh) const {
  for (const auto& [id, job] : jobs_) fresh.Update(job);
}

ClusterIndex RandomCluster::FreshCluster() const {
  ClusterIndex fresh;
  for (const auto& [name, node] : nodes_) fresh.Update(node);
  return fresh;
}

}  // namespace ijepa::coordinator
