// See pending_reasons.h.
#include "coordinator/core/pending_reasons.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

v1::Reason Make(const char* code, std::string message, std::string resource, int64_t short_by) {
  v1::Reason reason;
  reason.set_code(code);
  reason.set_message(std::move(message));
  reason.set_resource(std::move(resource));
  reason.set_short_by(std::max<int64_t>(0, short_by));
  return reason;
}

std::string LevelWord(v1::TopologyLevel level) {
  constexpr size_t kPrefix = sizeof("TOPOLOGY_LEVEL_") - 1;
  return absl::AsciiStrToLower(v1::TopologyLevel_Name(level).substr(kPrefix));
}

// " in one rack", where that is asked for.
std::string Within(const QueuedJob& job) {
  if (job.required >= v1::TOPOLOGY_LEVEL_CLUSTER) return "";
  return absl::StrCat(" in one ", LevelWord(job.required));
}

// Slots of the largest part of the required level, over what the job may use.
int64_t LargestPart(const JobGroup& group, const ClusterIndex& cluster) {
  int64_t largest = 0;
  for (const Selection& selection : group.selections) {
    largest = std::max(largest, cluster.LargestPart(selection, group.like.required));
  }
  return largest;
}

}  // namespace

const char* Demand(const QueuedJob& job) {
  if (job.device == "cuda") return " with a GPU";
  if (!job.bf16) return "";
  return job.device == "cpu" ? " with bf16 arithmetic on the CPU"
                             : " with a GPU or bf16 arithmetic on the CPU";
}

std::string SlotCount(int64_t count) {
  return absl::StrCat(count, count == 1 ? " slot" : " slots");
}

Totals FreeFor(const JobGroup& group, const ClusterIndex& cluster) {
  Totals best;
  for (const Selection& selection : group.selections) {
    const Totals totals = cluster.Count(selection);
    if (std::tie(totals.free, totals.slots) > std::tie(best.free, best.slots)) best = totals;
  }
  return best;
}

v1::Reason WaitingReason(const QueuedJob& job, const Totals& totals,
                         const std::vector<std::string>& ahead) {
  std::string message =
      absl::StrCat("needs ", SlotCount(job.sizes.back()), Demand(job), Within(job), "; ",
                   totals.free, " of ", totals.slots, " are free");
  if (!ahead.empty()) absl::StrAppend(&message, "; ", ahead.front(), " is ahead");
  v1::Reason reason =
      Make(kWaitingForSlots, std::move(message), "slots", job.sizes.back() - totals.free);
  for (const std::string& id : ahead) reason.add_jobs_ahead(id);
  return reason;
}

v1::Reason QuotaReason(const QueuedJob& job, int64_t used, int64_t most) {
  return Make(kQuotaExceeded,
              absl::StrCat("needs ", SlotCount(job.sizes.back()), "; queue ", job.queue, " uses ",
                           used, " and may use ", most),
              absl::StrCat("quota of queue ", job.queue), used + job.sizes.back() - most);
}

std::optional<v1::Reason> NeverFits(const JobGroup& group, const ClusterIndex& cluster,
                                    int64_t most) {
  const QueuedJob& job = group.like;
  const int size = job.sizes.back();
  if (most < size) {
    return Make(kTooLarge,
                absl::StrCat("needs ", SlotCount(size), "; queue ", job.queue,
                             " never uses more than ", most),
                absl::StrCat("quota of queue ", job.queue), size - most);
  }
  Totals largest;
  bool fits = false;
  for (const Selection& selection : group.selections) {
    const Totals totals = cluster.Count(selection);
    fits = fits || totals.slots >= size;
    if (totals.slots >= largest.slots) largest = totals;
  }
  if (fits && job.required >= v1::TOPOLOGY_LEVEL_CLUSTER) return std::nullopt;
  if (fits) {
    const int64_t part = LargestPart(group, cluster);
    if (part >= size) return std::nullopt;
    return Make(kTooLarge,
                absl::StrCat("needs ", SlotCount(size), Demand(job), Within(job),
                             "; the largest has ", part),
                "slots", size - part);
  }
  if (cluster.nodes() == 0) {
    return Make(
        kNoNodes,
        absl::StrCat("needs ", SlotCount(size), "; no node is registered: start ijepa-worker"),
        "slots", size);
  }
  const char* kind = Demand(job);
  if (job.bf16 && largest.nodes == 0) {
    return Make(
        kNoBf16,
        absl::StrCat("has meta.precision bf16 and needs ", SlotCount(size), kind,
                     " (AVX512-BF16 or AMX-BF16); ", cluster.nodes(),
                     cluster.nodes() == 1 ? " node is" : " nodes are", " registered, none has it"),
        "slots", size);
  }
  return Make(kTooLarge,
              absl::StrCat("needs ", SlotCount(size), kind, "; the ", largest.nodes, " registered ",
                           largest.nodes == 1 ? "node" : "nodes", kind, " ",
                           largest.nodes == 1 ? "has " : "have ", largest.slots),
              "slots", size - largest.slots);
}

}  // namespace ijepa::coordinator
