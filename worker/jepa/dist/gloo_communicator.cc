// Gloo over TCP. Gloo throws; nothing thrown leaves this file.
#include "worker/jepa/dist/gloo_communicator.h"

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"

namespace jepa {
namespace {

std::chrono::milliseconds ToChrono(absl::Duration duration) {
  // Gloo takes zero for "no timeout".
  return std::chrono::milliseconds(std::max<int64_t>(1, absl::ToInt64Milliseconds(duration)));
}

// Gloo's name-value store over the attempt's rendezvous, with one deadline for the whole meeting.
class RendezvousStore : public ::gloo::rendezvous::Store {
 public:
  RendezvousStore(Rendezvous& rendezvous, absl::Duration timeout)
      : rendezvous_(rendezvous), deadline_(ijepa::Clock::Real().Monotonic() + timeout) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    status_ = rendezvous_.Put(Key(key), absl::string_view(data.data(), data.size()));
    ThrowUnlessOk();
  }

  std::vector<char> get(const std::string& key) override {
    absl::StatusOr<std::string> value =
        rendezvous_.Get(Key(key), deadline_ - ijepa::Clock::Real().Monotonic());
    status_ = value.status();
    ThrowUnlessOk();
    return std::vector<char>(value->begin(), value->end());
  }

  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) get(key);
  }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds&) override {
    wait(keys);
  }

  // Why the store failed; OK if it did not.
  const absl::Status& status() const { return status_; }

 private:
  static std::string Key(const std::string& key) { return absl::StrCat("gloo/", key); }
  void ThrowUnlessOk() const {
    if (!status_.ok()) throw ::gloo::IoException(status_.ToString());
  }

  Rendezvous& rendezvous_;
  const absl::Duration deadline_;
  absl::Status status_;
};

class GlooCommunicator : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<::gloo::rendezvous::Context> context, absl::Duration timeout)
      : context_(std::move(context)), timeout_(timeout) {}

  int rank() const override { return context_->rank; }
  int world_size() const override { return context_->size; }

  absl::Status AllReduceSum(float* data, int64_t count) override {
    return Guarded("all-reduce", [&] {
      ::gloo::AllreduceOptions options(context_);
      options.setOutput(data, static_cast<size_t>(count));
      // The ring adds each element in one fixed order of ranks and copies the result to all.
      options.setAlgorithm(::gloo::AllreduceOptions::Algorithm::RING);
      options.setReduceFunction([](void* out, const void* a, const void* b, size_t n) {
        auto* sum = static_cast<float*>(out);
        const auto* x = static_cast<const float*>(a);
        const auto* y = static_cast<const float*>(b);
        for (size_t i = 0; i < n; ++i) sum[i] = x[i] + y[i];
      });
      ::gloo::allreduce(options);
    });
  }

  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return Guarded("broadcast", [&] {
      ::gloo::BroadcastOptions options(context_);
      options.setOutput(data, static_cast<size_t>(count));
      options.setRoot(root);
      ::gloo::broadcast(options);
    });
  }

  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return Guarded("all-gather", [&] {
      ::gloo::AllgatherOptions options(context_);
      // Gloo's buffers are not const; the input is only read.
      options.setInput(const_cast<float*>(data), static_cast<size_t>(count));
      options.setOutput(out, static_cast<size_t>(count) * static_cast<size_t>(context_->size));
      ::gloo::allgather(options);
    });
  }

  absl::Status Barrier() override {
    return Guarded("barrier", [&] {
      ::gloo::BarrierOptions options(context_);
      ::gloo::barrier(options);
    });
  }

 private:
  template <typename Operation>
  absl::Status Guarded(absl::string_view name, Operation operation) {
    if (!broken_.ok()) return broken_;
    try {
      operation();
    } catch (const std::exception& error) {
      broken_ = Explain(name, error.what());
    }
    return broken_;
  }

  absl::Status Explain(absl::string_view name, absl::string_view what) const {
    const std::string where = absl::StrCat("rank ", context_->rank, " of ", context_->size);
    if (absl::StrContains(what, "Timed out")) {
      return absl::DeadlineExceededError(absl::StrCat(
          where, ": no ", name, " within ", absl::FormatDuration(timeout_), "; a peer hangs"));
    }
    return absl::AbortedError(absl::StrCat(where, ": ", name, " failed, a peer is gone: ", what));
  }

  std::shared_ptr<::gloo::rendezvous::Context> context_;
  const absl::Duration timeout_;
  absl::Status broken_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> NewGlooCommunicator(const TrainConfig& config,
                                                                  Rendezvous& rendezvous,
                                                                  absl::Duration timeout) {
  RendezvousStore store(rendezvous, timeout);
  try {
    ::gloo::transport::tcp::attr address;
    address.hostname = config.host_address;
    std::shared_ptr<::gloo::transport::Device> device =
        ::gloo::transport::tcp::CreateDevice(address);
    auto context = std::make_shared<::gloo::rendezvous::Context>(config.rank, config.world_size);
    context->setTimeout(ToChrono(timeout));
    context->connectFullMesh(store, device);
    return std::make_unique<GlooCommunicator>(std::move(context), timeout);
  } catch (const std::exception& error) {
    const std::string who = absl::StrCat("rank ", config.rank, " of ", config.world_size, " at ",
                                         config.host_address, " did not meet its peers: ");
    if (!store.status().ok()) {
      return absl::Status(store.status().code(), absl::StrCat(who, store.status().message()));
    }
    if (absl::StrContains(error.what(), "imed out")) {
      return absl::DeadlineExceededError(
          absl::StrCat(who, "none within ", absl::FormatDuration(timeout)));
    }
    return absl::AbortedError(absl::StrCat(who, error.what()));
  }
}

}  // namespace jepa
