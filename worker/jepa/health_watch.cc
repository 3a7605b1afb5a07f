// See health_watch.h.
#include "worker/jepa/health_watch.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

// What depends on a rank's images; the rest is of the common state and equal on all ranks.
constexpr double Telemetry::*kOfImages[] = {&Telemetry::effective_rank,
                                            &Telemetry::pooled_effective_rank,
                                            &Telemetry::std_mean,
                                            &Telemetry::std_min,
                                            &Telemetry::variance_over_batch,
                                            &Telemetry::off_diagonal_covariance,
                                            &Telemetry::prediction_cosine,
                                            &Telemetry::variance_over_patches};

constexpr char kAdvice[] =
    "; probes and docs/TELEMETRY.md tell more: look at optimization.ema, optimization.lr and the "
    "masks";

}  // namespace

absl::Status HealthWatch::Take(int64_t step, Learner& learner, Communicator& peers, RunHost& host) {
  IJEPA_ASSIGN_OR_RETURN(Telemetry measured, learner.ReadTelemetry());
  std::vector<float> sums;
  for (double Telemetry::*figure : kOfImages) {
    sums.push_back(static_cast<float>(measured.*figure));
  }
  IJEPA_RETURN_IF_ERROR(peers.AllReduceSum(sums.data(), static_cast<int64_t>(sums.size())));
  for (size_t i = 0; i < sums.size(); ++i) {
    measured.*kOfImages[i] = static_cast<double>(sums[i]) / peers.world_size();
  }
  measured.step = step;
  const CollapseChange change = alarm_.Take(measured);
  measured.collapse_suspected = alarm_.raised();
  newest_ = std::move(measured);
  if (rank_ != 0 || change == CollapseChange::kNone) return absl::OkStatus();
  const std::string figures = absl::StrCat("step ", step, ": ", alarm_.Describe());
  if (change == CollapseChange::kRaised) {
    host.Note("COLLAPSE_SUSPECTED", absl::StrCat(figures, kAdvice), step);
  } else {
    host.Note("COLLAPSE_CLEARED", figures, step);
  }
  return absl::OkStatus();
}

}  // namespace jepa
