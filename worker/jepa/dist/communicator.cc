// Chooses the transport, and the world of one, where nothing is to be done.
#include "worker/jepa/dist/communicator.h"

#include <algorithm>

#include "worker/jepa/dist/failure.h"
#include "worker/jepa/dist/gloo_communicator.h"
#include "worker/jepa/dist/nccl_communicator.h"

namespace jepa {
namespace {

// Every buffer is already what it should become; over the wire kBf16 too, as there is no wire.
class WorldOfOne : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(float*, int64_t) override { return failure_.status(); }
  absl::Status ReduceScatterSum(float*, int64_t, Precision) override { return failure_.status(); }
  absl::Status AllGatherPieces(float*, int64_t, Precision) override { return failure_.status(); }
  absl::Status Broadcast(float*, int64_t, int) override { return failure_.status(); }
  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    std::copy_n(data, count, out);
    return failure_.status();
  }
  absl::Status Pass(float*, int64_t, int, int) override { return failure_.status(); }
  absl::Status Barrier() override { return failure_.status(); }
  void Abort(const absl::Status& why) override { failure_.Set(why); }

 private:
  Failure failure_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> NewCommunicator(const TrainConfig& config,
                                                              Rendezvous& rendezvous,
                                                              absl::Duration timeout) {
  if (config.world_size == 1) return std::make_unique<WorldOfOne>();
  if (config.device == Device::kCuda) return NewNcclCommunicator(config, rendezvous, timeout);
  return NewGlooCommunicator(config, rendezvous, timeout);
}

}  // namespace jepa
