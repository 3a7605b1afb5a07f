// See retention.h.
#include "coordinator/core/retention.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ijepa::coordinator {
namespace {

// Mean accuracy over all targets and methods: the same ones in every probe of a job.
double ScoreOf(const v1::ProbeReport& probe) {
  double sum = 0;
  for (const v1::ProbeScore& score : probe.scores()) sum += score.accuracy();
  return probe.scores().empty() ? 0 : sum / probe.scores_size();
}

// Step of the kept checkpoint with the best probe; the earliest among equals.
std::optional<int64_t> BestStep(const Job& job) {
  std::optional<int64_t> best;
  double best_score = 0;
  for (const v1::ProbeReport& probe : job.proto.status().probes()) {
    const bool kept = std::any_of(
        job.checkpoints.begin(), job.checkpoints.end(),
        [&](const v1::Checkpoint& checkpoint) { return checkpoint.step() == probe.step(); });
    if (!kept || (best.has_value() && ScoreOf(probe) <= best_score)) continue;
    best = probe.step();
    best_score = ScoreOf(probe);
  }
  return best;
}

bool EndsKeptEpoch(const v1::CheckpointSpec& rules, const v1::Checkpoint& checkpoint) {
  const int64_t every = rules.keep_every_epochs() * checkpoint.steps_per_epoch();
  return every > 0 && checkpoint.step() % every == 0;
}

// A folder is read when it is the checkpoint or holds it.
bool StartsFrom(const v1::JobSpec& spec, absl::string_view path) {
  if (!spec.meta().load_checkpoint()) return false;
  std::string from = spec.meta().read_checkpoint();
  if (from.empty() || from[0] != '/') from = absl::StrCat(spec.logging().folder(), "/", from);
  absl::string_view source = from;
  while (absl::ConsumeSuffix(&source, "/")) {
  }
  return !source.empty() && absl::ConsumePrefix(&path, source) && (path.empty() || path[0] == '/');
}

bool InUse(const State& state, const Job& owner, const std::string& path) {
  const auto reads = [&](const std::string& id) {
    const Job& job = state.jobs.at(id);
    return id != owner.id && job.checkpoints.empty() && StartsFrom(job.proto.spec(), path);
  };
  return std::any_of(state.starters.begin(), state.starters.end(), reads);
}

// By the job's own rules.
std::vector<std::string> KeptByRules(const Job& job, size_t index) {
  const v1::CheckpointSpec& rules = job.proto.spec().checkpoint();
  const v1::Checkpoint& checkpoint = job.checkpoints[index];
  std::vector<std::string> reasons;
  const auto newest = static_cast<size_t>(1 + std::max(1, rules.keep_last()));
  if (job.checkpoints.size() - index <= newest) reasons.push_back(kKeptNewest);
  if (EndsKeptEpoch(rules, checkpoint)) reasons.push_back(kKeptEpoch);
  if (rules.keep_best() && BestStep(job) == checkpoint.step()) reasons.push_back(kKeptBest);
  if (checkpoint.pinned()) reasons.push_back(kKeptPinned);
  return reasons;
}

}  // namespace

std::vector<std::string> KeptFor(const State& state, const Job& job, size_t index) {
  std::vector<std::string> reasons = KeptByRules(job, index);
  if (InUse(state, job, job.checkpoints[index].path())) reasons.push_back(kKeptInUse);
  return reasons;
}

bool MayGo(const State& state, const Job& job, size_t index) {
  return KeptByRules(job, index).empty() && !InUse(state, job, job.checkpoints[index].path());
}

}  // namespace ijepa::coordinator
