// The deterministic views of a list of images, a thread's share at a time.
#include "worker/jepa/data/eval_view.h"

#include <algorithm>
#include <mutex>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/stall_watch.h"
#include "worker/jepa/data/task_threads.h"

namespace jepa {
namespace {

class EvalViews {
 public:
  explicit EvalViews(const EvalViewRequest& request)
      : request_(request),
        clock_(request.clock != nullptr ? *request.clock : ijepa::Clock::Real()),
        tools_(static_cast<size_t>(std::max(request.data.num_workers, 1))),
        view_bytes_(ViewBytes(request.data)),
        pixels_(view_bytes_ * request.indices.size()),
        is_bad_(request.indices.size()),
        busy_(tools_.size()) {}

  absl::StatusOr<std::vector<uint8_t>> Run(std::vector<int64_t>& bad) {
    StallWatch watch(clock_, 0);
    const absl::Status ran =
        RunTasks({.tasks = static_cast<int64_t>(request_.indices.size()),
                  .threads = static_cast<int>(tools_.size()),
                  .work =
                      [this](int64_t image, int thread) {
                        Make(static_cast<size_t>(image), static_cast<size_t>(thread));
                        return absl::OkStatus();
                      },
                  .on_progress = [&](int64_t done) { LookAt(watch.Look(done)); }});
    IJEPA_RETURN_IF_ERROR(ran);
    IJEPA_RETURN_IF_ERROR(hung_);
    for (size_t i = 0; i < is_bad_.size(); ++i) {
      if (is_bad_[i] != 0) bad.push_back(request_.indices[i]);
    }
    return std::move(pixels_);
  }

 private:
  void Make(size_t image, size_t thread) {
    const int64_t index = request_.indices[image];
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      busy_.Begin(thread, index, clock_.Monotonic());
    }
    uint8_t* planes = pixels_.data() + view_bytes_ * image;
    if (!Write(index, tools_[thread], planes).ok()) {
      std::fill(planes, planes + view_bytes_, uint8_t{0});
      is_bad_[image] = 1;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    busy_.End(thread);
  }

  absl::Status Write(int64_t index, ViewTools& tools, uint8_t* planes) const {
    IJEPA_RETURN_IF_ERROR(ReadPatiently(request_.source, index, kRetryDelay, tools.bytes));
    return WriteProbeView(tools.bytes, request_.data, tools, planes);
  }

  void LookAt(StallWatch::State state) {
    if (state == StallWatch::State::kFine || !hung_.ok()) return;
    std::string slowest;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      slowest = busy_.Slowest(request_.source);
    }
    if (state == StallWatch::State::kStalled) {
      request_.host.Note("DATA_STALLED", StallWatch::Line(slowest), request_.step);
      return;
    }
    hung_ = StallWatch::Failure(slowest);
    request_.host.Leave(hung_);  // A thread that hangs could not be joined.
  }

  const EvalViewRequest& request_;
  ijepa::Clock& clock_;
  std::vector<ViewTools> tools_;  // One per thread.
  const size_t view_bytes_;
  std::vector<uint8_t> pixels_;
  std::vector<uint8_t> is_bad_;
  std::mutex mutex_;  // Guards busy_.
  BusyThreads busy_;
  absl::Status hung_;
};

}  // namespace

absl::StatusOr<std::vector<uint8_t>> LoadEvalView(const EvalViewRequest& request,
                                                  std::vector<int64_t>& bad) {
  const Size crop = request.data.crop_size;
  if (crop.height < 1 || crop.width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("crop is ", crop.height, " x ", crop.width, "; both must be at least 1"));
  }
  for (const int64_t index : request.indices) {
    if (index >= 0 && index < request.source.size()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("image ", index, " of a source of ", request.source.size(), " images"));
  }
  return EvalViews(request).Run(bad);
}

}  // namespace jepa
