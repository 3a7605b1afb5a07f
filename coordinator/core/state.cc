// See state.h.
#include "coordinator/core/state.h"

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {

const Job* FindJob(const State& state, absl::string_view name) {
  const auto found = state.jobs.find(JobId(name));
  if (found == state.jobs.end() || !IsMeantBy(name, found->second.proto.name())) return nullptr;
  return &found->second;
}

const Job* FindJobByUid(const State& state, const std::string& uid) {
  const auto found = state.ids_by_uid.find(uid);
  return found == state.ids_by_uid.end() ? nullptr : FindJob(state, found->second);
}

int SlotsUsed(const State& state, const Node& node) {
  int used = node.foreign_ranks;
  for (const std::string& id : node.jobs) {
    const Job& job = state.jobs.at(id);
    for (const RankState& rank : job.gang->ranks) {
      // Also ranks that are gone: a gang that recovers keeps its slots from smaller jobs.
      used += rank.node == node.info.node() ? 1 : 0;
    }
  }
  return used;
}

bool IsUsable(const Node& node) { return node.state == v1::NODE_STATE_READY && node.stream != 0; }

bool MayStart(const Node& node) {
  return IsUsable(node) && !node.draining && !node.quarantine.has_value() && !node.cordoned &&
         !node.in_maintenance;
}

v1::Node DescribeNode(const State& state, const std::string& name, const Node& node) {
  v1::Node proto;
  proto.set_name(absl::StrCat("nodes/", name));
  *proto.mutable_info() = node.info;
  proto.set_state(node.state);
  proto.set_slots_used(SlotsUsed(state, node));
  *proto.mutable_last_seen_time() = ToProto(node.last_seen_wall);
  proto.set_incarnation(node.incarnation);
  if (node.quarantine.has_value()) *proto.mutable_quarantine() = *node.quarantine;
  proto.set_draining(node.draining);
  proto.set_cordoned(node.cordoned);
  proto.set_cordon_reason(node.cordon_reason);
  for (const v1::MaintenanceWindow& window : node.maintenance) *proto.add_maintenance() = window;
  return proto;
}

void MarkLive(State& state, Job& job) {
  job.live_change = true;
  state.live.insert(job.id);
}

int64_t CommittedStep(const Job& job) {
  return job.checkpoints.empty() ? 0 : job.checkpoints.back().step();
}

std::vector<int> RanksOn(const Gang& gang, const std::string& node) {
  std::vector<int> result;
  for (size_t r = 0; r < gang.ranks.size(); ++r) {
    if (gang.ranks[r].node == node) result.push_back(static_cast<int>(r));
  }
  return result;
}

void ForgiveRanks(Gang& gang, absl::Duration now) {
  for (RankState& rank : gang.ranks) rank.watch.Forgive(now);
}

std::set<std::string> NodesOf(const Gang& gang) {
  std::set<std::string> result;
  for (const RankState& rank : gang.ranks) result.insert(rank.node);
  return result;
}

}  // namespace ijepa::coordinator
