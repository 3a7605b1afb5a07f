// Sums the gradient over ranks, bucket by bucket, beside the backward pass that makes it.
//
//   Begin    a step's gradient buffer; nothing of it is final
//   Ready    a part from the front is final: the buckets in it are summed
//   Finish   all of it is; the sums are there, for the host or for the device
//
// A thread of its own makes the communicator's calls, in the order of the buckets. Sums are the
// same bits whenever they are made. Where gradients are on a device, calls are left to it: the host
// waits for no device here (Communicator::StartAfter), and learns with Communicator::Settle whether
// they went well.
#ifndef IJEPA_WORKER_JEPA_GRADIENT_EXCHANGE_H_
#define IJEPA_WORKER_JEPA_GRADIENT_EXCHANGE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {

struct ExchangeOptions {
  Precision wire = Precision::kFp32;
  // Each rank gets the sums of its piece of every bucket only (OwnedRanges), as ZeRO-1 needs. The
  // scalars are then left to the caller.
  bool scatter = false;
  // Off: sums when Finish is called, on its thread.
  bool overlap = true;
};

// Owned by the training thread, which calls Begin and Finish, in turns, and between them makes no
// call of the communicator. Ready may come from another thread, one call at a time.
class GradientExchange {
 public:
  // `buckets` cover the gradient without its scalars. The communicator must outlive it. A world of
  // one has no thread.
  GradientExchange(Communicator& peers, std::vector<FlatRange> buckets,
                   const ExchangeOptions& options);
  // A step that was begun and not finished aborts the communicator.
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // `gradient`: parameters, then kStepScalars scalars; borrowed until Finish has returned.
  void Begin(FloatBuffer gradient);
  // gradient[0, floats) will not change any more, once the device has done what the calling thread
  // has given it. Never blocks for a peer. Numbers that are not larger than the last are ignored.
  void Ready(int64_t floats);
  // The whole buffer, scalars included, is final. Returns when all is summed, or will be before the
  // device begins what the calling thread gives it from now on; errors as those of the
  // communicator. Waits as long as the communicator's calls do, each of which has its deadline.
  absl::Status Finish();

  // Between Finish and the next Begin, for ranks that share the update out; results are there as
  // those of Finish. The scalars behind the gradient become their sums.
  absl::Status SumScalars();
  // What each rank owns of `flat`, laid out as the gradient, becomes everybody's.
  absl::Status Gather(float* flat);

 private:
  using Lock = std::unique_lock<std::mutex>;

  bool summed() const { return next_ == buckets_.size() || !status_.ok(); }
  // Buckets up to `ready` of them are final since `point`.
  void Release(size_t ready);
  // Sums the next bucket that is ready, with `lock` let go meanwhile.
  void SumNext(Lock& lock);
  absl::Status Sum(size_t bucket, const DevicePoint* point);
  void Run();

  Communicator& peers_;
  const std::vector<FlatRange> buckets_;
  const ExchangeOptions options_;
  const bool alone_;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  bool stop_ = false;
  bool begun_ = false;
  FloatBuffer gradient_;
  // Buckets that are summed, and that are final: 0 <= next_ <= ready_ <= buckets_.size().
  size_t next_ = 0;
  size_t ready_ = 0;
  std::vector<std::shared_ptr<DevicePoint>> points_;  // When each bucket was final.
  absl::Status status_;

  std::thread thread_;  // Last: starts when all else is made.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_GRADIENT_EXCHANGE_H_
