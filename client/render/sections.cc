// See sections.h.
#include "client/render/sections.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/render/format.h"
#include "client/render/job_text.h"

namespace ijepa::client {
namespace {

std::string NodeStateName(v1::NodeState state) {
  constexpr absl::string_view kPrefix = "NODE_STATE_";
  const std::string& name = v1::NodeState_Name(state);
  return name.size() > kPrefix.size() ? name.substr(kPrefix.size()) : absl::StrCat(state);
}

// A node that is heard and given no ranks says why instead.
std::string StateText(const v1::Node& node, absl::Time now) {
  const bool ready = node.state() == v1::NODE_STATE_READY;
  if (node.has_quarantine()) {
    return absl::StrCat(ready ? "" : absl::StrCat(NodeStateName(node.state()), " "), "QUARANTINED ",
                        DurationText(ToTime(node.quarantine().expire_time()) - now));
  }
  if (ready && node.draining()) return "DRAINING";
  return ready && node.cordoned() ? "CORDONED" : NodeStateName(node.state());
}

Tone NodeTone(const v1::Node& node) {
  const v1::NodeState state = node.state();
  if (node.has_quarantine() || node.draining() || node.cordoned()) return Tone::kWarn;
  if (state == v1::NODE_STATE_READY) return Tone::kGood;
  return state == v1::NODE_STATE_LOST ? Tone::kBad : Tone::kWarn;
}

}  // namespace

Table CheckpointTable(const v1::ListCheckpointsResponse& list, absl::Time now) {
  Table table({{"STEP", Align::kRight},
               {"GENERATION", Align::kRight},
               {"IMAGES", Align::kRight},
               {"SIZE", Align::kRight},
               {"COMMITTED", Align::kRight},
               {"KEPT"},
               {"PATH"}});
  for (const v1::Checkpoint& checkpoint : list.checkpoints()) {
    table.AddRow({absl::StrCat(checkpoint.step()), absl::StrCat(checkpoint.generation()),
                  FormatCount(checkpoint.images_seen()), FormatBytes(checkpoint.bytes()),
                  FormatAge(now, checkpoint.commit_time()),
                  checkpoint.kept_for().empty()
                      ? "-"
                      : absl::AsciiStrToLower(absl::StrJoin(checkpoint.kept_for(), ", ")),
                  checkpoint.path()});
  }
  return table;
}

Table NodeTable(const v1::ListNodesResponse& list, absl::Time now) {
  Table table({{"NODE"},
               {"STATE"},
               {"USED", Align::kRight},
               {"SLOTS", Align::kRight},
               {"DEVICE"},
               {"SEEN", Align::kRight},
               {"VERSION"},
               {"METRICS"},
               {"CPU"},
               {"REASON"}});
  for (const v1::Node& node : list.nodes()) {
    table.AddRow({ShortName(node.name()),
                  {StateText(node, now), NodeTone(node)},
                  absl::StrCat(node.slots_used()),
                  absl::StrCat(node.info().slots()),
                  node.info().gpu_model().empty() ? "cpu" : node.info().gpu_model(),
                  FormatAge(now, node.last_seen_time()),
                  node.info().version(),
                  node.info().metrics_address().empty() ? "-" : node.info().metrics_address(),
                  absl::StrJoin(node.info().cpu_features(), " "),
                  node.has_quarantine() ? node.quarantine().reason() : node.cordon_reason()});
  }
  return table;
}

Table BackendNodeTable(const v1::ListNodesResponse& list, absl::Time now) {
  Table table({{"BACKEND"}, {"NODE"}, {"STATE"}, {"USABLE"}, {"SEEN", Align::kRight}, {"REASON"}});
  for (const v1::BackendNodes& backend : list.backends()) {
    for (const v1::BackendNode& node : backend.nodes()) {
      table.AddRow({backend.backend(),
                    node.name(),
                    {node.state(), node.usable() ? Tone::kGood : Tone::kWarn},
                    node.usable() ? "yes" : "no",
                    FormatAge(now, backend.look_time()),
                    node.reason()});
    }
  }
  return table;
}

Table QueueTable(const v1::ListQueuesResponse& list) {
  Table table({{"QUEUE"},
               {"PLACED BY"},
               {"QUOTA", Align::kRight},
               {"BORROWS UP TO", Align::kRight},
               {"LIMIT", Align::kRight},
               {"USED", Align::kRight},
               {"BORROWED", Align::kRight},
               {"WAITING", Align::kRight},
               {"WEIGHT", Align::kRight},
               {"SHARE", Align::kRight},
               {"CLASS"},
               {"TIME LIMIT"}});
  const auto count = [](bool has, int64_t value) { return has ? absl::StrCat(value) : "-"; };
  for (const v1::Queue& queue : list.queues()) {
    const int64_t borrowed = std::max<int64_t>(0, queue.used() - queue.nominal());
    table.AddRow({ShortName(queue.name()),
                  // Of a coordinator that does not say: it has only workers of its own.
                  queue.backend().empty() ? "own" : queue.backend(),
                  count(queue.has_nominal(), queue.nominal()),
                  count(queue.has_borrowing_limit(), queue.borrowing_limit()),
                  count(queue.has_limit(), queue.limit()),
                  absl::StrCat(queue.used()),
                  {count(queue.has_nominal(), borrowed),
                   queue.has_nominal() && borrowed > 0 ? Tone::kWarn : Tone::kPlain},
                  absl::StrCat(queue.waiting_jobs()),
                  FormatNumber(queue.weight()),
                  FormatNumber(queue.fair_share()),
                  queue.priority_class(),
                  queue.default_time_limit().empty() ? "-" : queue.default_time_limit()});
  }
  return table;
}

}  // namespace ijepa::client
