// See scheduler.h.
#include "coordinator/core/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace ijepa::coordinator {
namespace {

// Kinds of slots. A gang never mixes them: its ranks must share a collective library.
enum Pool { kGpu = 0, kCpu = 1 };

// Pools a job may run in, the preferred first. Device cpu also runs on the slots of a GPU node, as
// they are.
absl::Span<const Pool> PoolsOf(const QueuedJob& job) {
  static constexpr Pool kBoth[] = {kGpu, kCpu};
  static constexpr Pool kCpuFirst[] = {kCpu, kGpu};
  static constexpr Pool kGpuOnly[] = {kGpu};
  if (job.device == "cuda") return kGpuOnly;
  if (job.device == "cpu") return kCpuFirst;
  return kBoth;
}

// True if the job could run on the node were it free, on slots of the pool.
bool Suits(const QueuedJob& job, const NodeView& node, Pool pool) {
  if (node.gpu != (pool == kGpu)) return false;
  const bool on_cpu = pool == kCpu || job.device == "cpu";
  return node.cpu_bf16 || !job.bf16 || !on_cpu;
}

// Numbers of the nodes that suit the job in the pool.
std::vector<size_t> Suitable(const QueuedJob& job, const std::vector<NodeView>& nodes, Pool pool) {
  std::vector<size_t> suitable;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (Suits(job, nodes[i], pool)) suitable.push_back(i);
  }
  return suitable;
}

struct Totals {
  int nodes = 0;
  int slots = 0;
  int free = 0;
};

Totals Count(const std::vector<NodeView>& nodes, const std::vector<size_t>& some) {
  Totals totals;
  for (const size_t i : some) {
    const NodeView& node = nodes[i];
    ++totals.nodes;
    totals.slots += node.slots;
    if (node.usable) totals.free += std::max(0, node.free);
  }
  return totals;
}

// Takes `size` slots from these nodes: the tightest single node that holds all, else the emptiest
// nodes in turn.
std::vector<std::string> Place(int size, std::vector<NodeView>& nodes,
                               const std::vector<size_t>& some) {
  std::vector<NodeView*> open;
  for (const size_t i : some) {
    if (nodes[i].usable && nodes[i].free > 0) open.push_back(&nodes[i]);
  }
  std::sort(open.begin(), open.end(), [](const NodeView* a, const NodeView* b) {
    return std::tie(b->free, a->name) < std::tie(a->free, b->name);
  });
  // `open` falls by free slots: the last that holds all is the tightest.
  for (auto it = open.rbegin(); it != open.rend(); ++it) {
    if ((*it)->free >= size) {
      std::swap(*it, open.front());
      break;
    }
  }
  std::vector<std::string> placed;
  for (NodeView* node : open) {
    const int taken = std::min(node->free, size - static_cast<int>(placed.size()));
    placed.insert(placed.end(), taken, node->name);
    node->free -= taken;
  }
  return placed;
}

// Starts the largest allowed size that fits in one pool without the nodes that are held for a job
// ahead. Empty if none does.
std::vector<std::string> TryPlace(const QueuedJob& job, std::vector<NodeView>& nodes,
                                  const std::vector<bool>& held) {
  for (const int size : job.sizes) {
    for (const Pool pool : PoolsOf(job)) {
      std::vector<size_t> open = Suitable(job, nodes, pool);
      open.erase(std::remove_if(open.begin(), open.end(), [&](size_t i) { return held[i]; }),
                 open.end());
      if (Count(nodes, open).free >= size) return Place(size, nodes, open);
    }
  }
  return {};
}

// What a slot must have, as the end of a sentence.
const char* Demand(const QueuedJob& job) {
  if (job.device == "cuda") return " with a GPU";
  if (!job.bf16) return "";
  return job.device == "cpu" ? " with bf16 arithmetic on the CPU"
                             : " with a GPU or bf16 arithmetic on the CPU";
}

std::string Slots(int count) { return absl::StrCat(count, count == 1 ? " slot" : " slots"); }

v1::Reason MakeReason(const char* code, std::string message) {
  v1::Reason reason;
  reason.set_code(code);
  reason.set_message(std::move(message));
  return reason;
}

// Slots of the pool with the most free, of those the job may use.
Totals BestPool(const QueuedJob& job, const std::vector<NodeView>& nodes) {
  Totals best;
  for (const Pool pool : PoolsOf(job)) {
    const Totals totals = Count(nodes, Suitable(job, nodes, pool));
    if (std::tie(totals.free, totals.slots) > std::tie(best.free, best.slots)) best = totals;
  }
  return best;
}

v1::Reason WaitingReason(const QueuedJob& job, const std::vector<NodeView>& nodes,
                         const std::string& ahead) {
  const Totals totals = BestPool(job, nodes);
  std::string message = absl::StrCat("needs ", Slots(job.sizes.back()), Demand(job), "; ",
                                     totals.free, " of ", totals.slots, " are free");
  if (!ahead.empty()) absl::StrAppend(&message, "; ", ahead, " is ahead");
  return MakeReason("WAITING_FOR_SLOTS", std::move(message));
}

}  // namespace

std::optional<v1::Reason> NeverFits(const QueuedJob& job, const std::vector<NodeView>& nodes) {
  const int size = job.sizes.back();
  Totals largest;
  for (const Pool pool : PoolsOf(job)) {
    const Totals totals = Count(nodes, Suitable(job, nodes, pool));
    if (totals.slots >= size) return std::nullopt;
    if (totals.slots >= largest.slots) largest = totals;
  }
  if (nodes.empty()) {
    return MakeReason("NO_NODES", absl::StrCat("needs ", Slots(size),
                                               "; no node is registered: start ijepa-worker"));
  }
  const char* kind = Demand(job);
  if (job.bf16 && largest.nodes == 0) {
    return MakeReason(kNoBf16, absl::StrCat("has meta.precision bf16 and needs ", Slots(size), kind,
                                            " (AVX512-BF16 or AMX-BF16); ", nodes.size(),
                                            nodes.size() == 1 ? " node is" : " nodes are",
                                            " registered, none has it"));
  }
  return MakeReason("TOO_LARGE",
                    absl::StrCat("needs ", Slots(size), kind, "; the ", largest.nodes,
                                 " registered ", largest.nodes == 1 ? "node" : "nodes", kind, " ",
                                 largest.nodes == 1 ? "has " : "have ", largest.slots));
}

Plan Schedule(absl::Duration now, std::vector<QueuedJob> queue, std::vector<NodeView> nodes) {
  std::sort(queue.begin(), queue.end(), [](const QueuedJob& a, const QueuedJob& b) {
    return std::tie(b.priority, a.number) < std::tie(a.priority, b.number);
  });
  Plan plan;
  std::vector<bool> held(nodes.size(), false);
  std::string ahead;
  for (const QueuedJob& job : queue) {
    if (job.not_before > now) continue;
    if (std::optional<v1::Reason> never = NeverFits(job, nodes)) {
      plan.waiting.push_back({job.id, *std::move(never)});
      continue;
    }
    std::vector<std::string> placed = TryPlace(job, nodes, held);
    if (!placed.empty()) {
      plan.starts.push_back({job.id, std::move(placed)});
      continue;
    }
    plan.waiting.push_back({job.id, WaitingReason(job, nodes, ahead)});
    for (const Pool pool : PoolsOf(job)) {
      for (const size_t i : Suitable(job, nodes, pool)) held[i] = true;
    }
    if (ahead.empty()) ahead = job.id;
  }
  return plan;
}

std::vector<int> GangSizes(const v1::JobSpec& spec) {
  const int max = std::max(1, spec.ranks().max());
  const int min = std::clamp(spec.ranks().min(), 1, max);
  const int shards = spec.shards() > 0 ? spec.shards() : max;
  std::vector<int> sizes;
  for (int size = max; size >= min; --size) {
    if (shards % size == 0) sizes.push_back(size);
  }
  if (sizes.empty()) sizes.push_back(max);
  return sizes;
}

}  // namespace ijepa::coordinator
