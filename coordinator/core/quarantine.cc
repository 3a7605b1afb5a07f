// See quarantine.h.
#include "coordinator/core/quarantine.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/failure_policy.h"

namespace ijepa::coordinator {
namespace {

// Faults of a node that are remembered; more say nothing new.
constexpr int kMaxFaults = 32;

bool MayBeTheNode(const std::string& failure_class) {
  const std::set<std::string> classes = {kCrash,    kOomHost,     kHang,   kGpuHw,
                                         kNodeLost, kStartFailed, kNetwork};
  return classes.count(failure_class) > 0;
}

void ForgetOld(Node& node, absl::Time oldest) {
  auto& faults = node.faults;
  std::erase_if(faults, [&](const v1::NodeFault& f) { return FromProto(f.time()) < oldest; });
  if (faults.size() > kMaxFaults) faults.erase(faults.begin());
}

// More than half of the nodes would be out: then the cause is elsewhere.
bool TooManyOut(const State& state) {
  const auto out = std::count_if(state.nodes.begin(), state.nodes.end(), [](const auto& entry) {
    return entry.second.quarantine.has_value();
  });
  return 2 * (out + 1) > static_cast<ptrdiff_t>(state.nodes.size());
}

}  // namespace

void CountNodeFault(Turn& turn, Job& job, const v1::Failure& failure) {
  const QuarantineLimits& limits = turn.options.quarantine;
  const auto found = turn.state.nodes.find(failure.node());
  if (limits.faults == 0 || found == turn.state.nodes.end()) return;
  // It ends with the attempt; its machine is the backend's.
  if (found->second.info.has_allocation()) return;
  if (!MayBeTheNode(failure.failure_class())) return;
  Node& node = found->second;
  ForgetOld(node, turn.now.wall - limits.window);
  v1::NodeFault& fault = node.faults.emplace_back();
  fault.set_job_uid(job.proto.uid());
  fault.set_failure_class(failure.failure_class());
  *fault.mutable_time() = ToProto(turn.now.wall);
  std::set<std::string> jobs;
  for (const v1::NodeFault& each : node.faults) jobs.insert(each.job_uid());
  const bool many = static_cast<int>(node.faults.size()) >= limits.faults && jobs.size() > 1;
  const bool broken = failure.failure_class() == kGpuHw;
  if ((many || broken) && !node.quarantine.has_value() && !TooManyOut(turn.state)) {
    v1::Quarantine& quarantine = node.quarantine.emplace();
    quarantine.set_reason(broken ? absl::StrCat("a GPU failed: ", DescribeFailure(failure))
                                 : absl::StrCat(node.faults.size(), " attempts of ", jobs.size(),
                                                " jobs failed on it within ",
                                                absl::FormatDuration(limits.window),
                                                ", the last by ", failure.failure_class()));
    *quarantine.mutable_start_time() = ToProto(turn.now.wall);
    *quarantine.mutable_expire_time() = ToProto(turn.now.wall + limits.length);
    turn.AddEvent(job, EventCode::kNodeQuarantined,
                  absl::StrCat(found->first, " is given no ranks for ",
                               absl::FormatDuration(limits.length), ": ", quarantine.reason(),
                               "; ijepactl nodes release ", found->first, " ends it"));
    turn.state.schedule_needed = true;
  }
  turn.PutNode(found->first, node);
}

void EndQuarantines(Turn& turn) {
  for (auto& [name, node] : turn.state.nodes) {
    if (!node.quarantine.has_value()) continue;
    if (FromProto(node.quarantine->expire_time()) > turn.now.wall) continue;
    node.quarantine.reset();
    node.faults.clear();  // It begins anew, as one that was repaired.
    turn.PutNode(name, node);
    turn.state.schedule_needed = true;
  }
}

void HandleReleaseNode(Turn& turn, const ReleaseNode& command) {
  const auto found = turn.state.nodes.find(command.name);
  if (found == turn.state.nodes.end()) {
    turn.Reply(command.token, absl::NotFoundError(absl::StrCat("there is no node ", command.name)));
    return;
  }
  Node& node = found->second;
  if (node.quarantine.has_value() || !node.faults.empty()) {
    node.quarantine.reset();
    node.faults.clear();
    turn.PutNode(found->first, node);
    turn.state.schedule_needed = true;
  }
  turn.Reply(command.token, v1::Job());
}

}  // namespace ijepa::coordinator
