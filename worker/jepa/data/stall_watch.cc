// Limits and texts of stalls.
#include "worker/jepa/data/stall_watch.h"

#include "absl/strings/str_cat.h"

namespace jepa {
namespace {

constexpr absl::Duration kStalls = absl::Seconds(30);
constexpr absl::Duration kHangs = absl::Seconds(120);

std::string Silence(absl::Duration silent, absl::string_view slowest) {
  return absl::StrCat("no image for ", absl::FormatDuration(silent), "; reading ", slowest);
}

}  // namespace

std::string BusyThreads::Slowest(const ImageSource& source) const {
  const Busy* slowest = nullptr;
  for (const Busy& busy : threads_) {
    if (busy.index >= 0 && (slowest == nullptr || busy.since < slowest->since)) slowest = &busy;
  }
  return slowest != nullptr ? source.name(slowest->index) : "nothing";
}

StallWatch::State StallWatch::Look(int64_t progress) {
  const absl::Duration now = clock_.Monotonic();
  if (progress != progress_) {
    progress_ = progress;
    progress_at_ = now;
    return State::kFine;
  }
  const absl::Duration silent = now - progress_at_;
  if (told_) return silent >= kHangs ? State::kHangs : State::kFine;
  told_ = silent >= kStalls;
  return told_ ? State::kStalled : State::kFine;
}

std::string StallWatch::Line(absl::string_view slowest) {
  return absl::StrCat(Silence(kStalls, slowest), "; the job fails at ",
                      absl::FormatDuration(kHangs), "; check the storage");
}

absl::Status StallWatch::Failure(absl::string_view slowest) {
  return absl::DeadlineExceededError(absl::StrCat(Silence(kHangs, slowest), "; check the storage"));
}

}  // namespace jepa
