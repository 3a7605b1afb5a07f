// See gradient_exchange.h.
#include "worker/jepa/gradient_exchange.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"

namespace jepa {

GradientExchange::GradientExchange(Communicator& peers, std::vector<FlatRange> buckets,
                                   const ExchangeOptions& options)
    : peers_(peers),
      buckets_(std::move(buckets)),
      options_(options),
      alone_(peers.world_size() == 1),
      points_(buckets_.size()) {
  IJEPA_CHECK(!buckets_.empty());
  if (options_.overlap && !alone_) thread_ = std::thread([this] { Run(); });
}

GradientExchange::~GradientExchange() {
  if (!thread_.joinable()) return;
  {
    const Lock lock(mutex_);
    if (begun_) peers_.Abort(absl::CancelledError("this rank stopped in the middle of a step"));
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GradientExchange::Begin(FloatBuffer gradient) {
  const Lock lock(mutex_);
  IJEPA_CHECK(gradient.count == buckets_.back().end + kStepScalars);
  gradient_ = gradient;
  begun_ = true;
  next_ = ready_ = 0;
}

void GradientExchange::Ready(int64_t floats) {
  if (!thread_.joinable()) return;
  size_t ready = 0;
  // The last bucket waits for the scalars.
  while (ready + 1 < buckets_.size() && buckets_[ready].end <= floats) ++ready;
  Release(ready);
}

void GradientExchange::Release(size_t ready) {
  const Lock lock(mutex_);
  if (ready <= ready_ || !status_.ok()) return;
  absl::StatusOr<std::unique_ptr<DevicePoint>> point = peers_.MarkDevice();
  if (point.ok()) {
    const std::shared_ptr<DevicePoint> shared = *std::move(point);
    for (; ready_ < ready; ++ready_) points_[ready_] = shared;
  } else {
    status_ = point.status();
  }
  changed_.notify_all();
}

absl::Status GradientExchange::Finish() {
  Release(buckets_.size());
  Lock lock(mutex_);
  if (alone_) next_ = buckets_.size();
  while (!summed()) {
    if (thread_.joinable()) {
      changed_.wait(lock);
    } else {
      SumNext(lock);
    }
  }
  if (status_.ok()) status_ = peers_.Join();
  begun_ = !status_.ok();
  return status_;
}

absl::Status GradientExchange::SumScalars() {
  IJEPA_ASSIGN_OR_RETURN(const std::unique_ptr<DevicePoint> point, peers_.MarkDevice());
  IJEPA_RETURN_IF_ERROR(peers_.StartAfter(point.get()));
  IJEPA_RETURN_IF_ERROR(peers_.AllReduceSum(gradient_.data + buckets_.back().end, kStepScalars));
  return peers_.Join();
}

absl::Status GradientExchange::Gather(float* flat) {
  IJEPA_ASSIGN_OR_RETURN(const std::unique_ptr<DevicePoint> point, peers_.MarkDevice());
  for (const FlatRange& bucket : buckets_) {
    IJEPA_RETURN_IF_ERROR(peers_.StartAfter(point.get()));
    IJEPA_RETURN_IF_ERROR(
        peers_.AllGatherPieces(flat + bucket.begin, bucket.size(), Precision::kFp32));
  }
  return peers_.Join();
}

void GradientExchange::Run() {
  Lock lock(mutex_);
  while (!stop_) {
    if (next_ < ready_ && status_.ok()) {
      SumNext(lock);
    } else {
      changed_.wait(lock);
    }
  }
}

void GradientExchange::SumNext(Lock& lock) {
  const size_t bucket = next_;
  const std::shared_ptr<DevicePoint> point = std::move(points_[bucket]);
  lock.unlock();
  const absl::Status summed = Sum(bucket, point.get());
  lock.lock();
  if (summed.ok()) {
    ++next_;
  } else if (status_.ok()) {
    status_ = summed;
  }
  changed_.notify_all();
}

absl::Status GradientExchange::Sum(size_t bucket, const DevicePoint* point) {
  const FlatRange range = buckets_[bucket];
  float* const data = gradient_.data + range.begin;
  const bool last = bucket + 1 == buckets_.size();
  const Precision wire = options_.wire;
  IJEPA_RETURN_IF_ERROR(peers_.StartAfter(point));
  if (wire == Precision::kFp32 && !options_.scatter) {
    return peers_.AllReduceSum(data, range.size() + (last ? kStepScalars : 0));
  }
  IJEPA_RETURN_IF_ERROR(peers_.ReduceScatterSum(data, range.size(), wire));
  if (options_.scatter) return absl::OkStatus();
  IJEPA_RETURN_IF_ERROR(peers_.StartAfter(nullptr));
  IJEPA_RETURN_IF_ERROR(peers_.AllGatherPieces(data, range.size(), wire));
  if (!last) return absl::OkStatus();
  IJEPA_RETURN_IF_ERROR(peers_.StartAfter(nullptr));
  return peers_.AllReduceSum(data + range.size(), kStepScalars);
}

}  // namespace jepa
