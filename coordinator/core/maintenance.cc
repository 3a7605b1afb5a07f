// See maintenance.h.
#include "coordinator/core/maintenance.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/gang.h"

namespace ijepa::coordinator {
namespace {

constexpr size_t kMaxReasonBytes = 256;
constexpr int kMaxWindows = 16;

Node* FindNode(Turn& turn, uint64_t token, const std::string& name) {
  const auto found = turn.state.nodes.find(name);
  if (found != turn.state.nodes.end()) return &found->second;
  turn.Reply(token, absl::NotFoundError(absl::StrCat("there is no node ", name)));
  return nullptr;
}

absl::Status CheckReason(const std::string& reason) {
  if (reason.size() <= kMaxReasonBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("reason has ", reason.size(), " bytes; at most ", kMaxReasonBytes));
}

absl::Status CheckWindows(const Turn& turn, const SetMaintenance& command) {
  if (command.windows.size() > kMaxWindows) {
    return absl::InvalidArgumentError(
        absl::StrCat("windows has ", command.windows.size(), " entries; at most ", kMaxWindows));
  }
  for (const v1::MaintenanceWindow& window : command.windows) {
    if (absl::Status status = CheckReason(window.reason()); !status.ok()) return status;
    const absl::Time end = FromProto(window.end_time());
    if (FromProto(window.start_time()) >= end || end <= turn.now.wall) {
      return absl::InvalidArgumentError(
          absl::StrCat("a window ends at ", absl::FormatTime(end, absl::UTCTimeZone()),
                       "; its end must be after its start and in the future"));
    }
  }
  return absl::OkStatus();
}

// Whether the node is to run nothing, or is about to.
bool WindowIsNear(const Turn& turn, const Node& node) {
  return std::any_of(
      node.maintenance.begin(), node.maintenance.end(), [&](const v1::MaintenanceWindow& window) {
        return FromProto(window.start_time()) - turn.options.drain_deadline <= turn.now.wall;
      });
}

void StopGangsOn(Turn& turn, const std::string& name, const Node& node) {
  const std::set<std::string> ids = node.jobs;
  for (const std::string& id : ids) {
    Job& job = turn.state.jobs.at(id);
    const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
    if (!up || job.gang->clearing || job.gang->draining) continue;
    StopGang(turn, job, StopCause::kMaintenance,
             absl::StrCat(name, " is about to be maintained; it saves and goes on elsewhere"));
  }
}

}  // namespace

void HandleCordon(Turn& turn, const CordonNode& command) {
  Node* node = FindNode(turn, command.token, command.name);
  if (node == nullptr) return;
  if (absl::Status status = CheckReason(command.reason); !status.ok()) {
    return turn.Reply(command.token, std::move(status));
  }
  const std::string reason = command.cordoned ? command.reason : "";
  if (node->cordoned != command.cordoned || node->cordon_reason != reason) {
    node->cordoned = command.cordoned;
    node->cordon_reason = reason;
    turn.PutNode(command.name, *node);
    turn.state.schedule_needed = true;
  }
  turn.Reply(command.token, v1::Job());
}

void HandleSetMaintenance(Turn& turn, const SetMaintenance& command) {
  Node* node = FindNode(turn, command.token, command.name);
  if (node == nullptr) return;
  if (absl::Status status = CheckWindows(turn, command); !status.ok()) {
    return turn.Reply(command.token, std::move(status));
  }
  node->maintenance = command.windows;
  std::sort(node->maintenance.begin(), node->maintenance.end(),
            [](const v1::MaintenanceWindow& a, const v1::MaintenanceWindow& b) {
              return FromProto(a.start_time()) < FromProto(b.start_time());
            });
  turn.PutNode(command.name, *node);
  JudgeMaintenance(turn);
  turn.Reply(command.token, v1::Job());
}

void JudgeMaintenance(Turn& turn) {
  for (auto& [name, node] : turn.state.nodes) {
    if (node.maintenance.empty() && !node.in_maintenance) continue;
    const size_t over = std::erase_if(node.maintenance, [&](const v1::MaintenanceWindow& window) {
      return FromProto(window.end_time()) <= turn.now.wall;
    });
    const bool near = WindowIsNear(turn, node);
    if (over > 0 || near != node.in_maintenance) {
      node.in_maintenance = near;
      turn.PutNode(name, node);
      turn.state.schedule_needed = true;
    }
    if (near) StopGangsOn(turn, name, node);
  }
}

}  // namespace ijepa::coordinator
