// Gloo over TCP. Gloo throws; nothing thrown leaves this file.
#include "worker/jepa/dist/gloo_communicator.h"

#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/jepa/dist/failure.h"
#include "worker/jepa/kernels/element.h"
#include "worker/jepa/plan/flat_ranges.h"

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

// All-reduces are cut at this many floats, which bounds the memory for what peers send.
constexpr int64_t kChunk = int64_t{8} << 20;
// Up to this many floats every rank sends all it has to every other: half the messages in turn.
constexpr int64_t kShort = 1024;

// sum[i] = addends[0][i] + addends[1][i] + ..., from left to right, in fp32. `sum` may be an
// addend.
template <typename Element>
void SumInOrder(const std::vector<const Element*>& addends, int64_t count, float* sum) {
  constexpr int64_t kBlock = 1024;
  float total[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    for (int64_t i = 0; i < size; ++i) total[i] = ToFloat(addends[0][begin + i]);
    for (size_t a = 1; a < addends.size(); ++a) {
      const Element* addend = addends[a] + begin;
      for (int64_t i = 0; i < size; ++i) total[i] += ToFloat(addend[i]);
    }
    std::copy_n(total, size, sum + begin);
  }
}

// Collectives of point-to-point messages, because Gloo's own add in an order that depends on the
// place in the buffer, and cannot be aborted: every rank sends each peer that peer's piece, and
// adds its own in the order of ranks.
class GlooCommunicator : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<::gloo::rendezvous::Context> context, absl::Duration timeout)
      : context_(std::move(context)), timeout_(timeout) {}

  int rank() const override { return context_->rank; }
  int world_size() const override { return context_->size; }

  absl::Status AllReduceSum(float* data, int64_t count) override {
    return Call("all-reduce", [&] {
      if (count <= kShort) return SumOfAll(data, count);
      for (int64_t begin = 0; begin < count; begin += kChunk) {
        const int64_t size = std::min(kChunk, count - begin);
        ReduceScatter<float>(data + begin, data + begin, size, received_);
        GatherPieces(data + begin, size);
      }
    });
  }

  absl::Status ReduceScatterSum(float* data, int64_t count, Precision wire) override {
    return Call("reduce-scatter", [&] {
      if (wire == Precision::kFp32) return ReduceScatter<float>(data, data, count, received_);
      rounded_.resize(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i) Convert(data[i], &rounded_[static_cast<size_t>(i)]);
      ReduceScatter<Bf16>(rounded_.data(), data, count, received_bf16_);
    });
  }

  absl::Status AllGatherPieces(float* data, int64_t count, Precision wire) override {
    return Call("all-gather", [&] {
      if (wire == Precision::kFp32) return GatherPieces(data, count);
      const FlatRange mine = Piece(count, rank());
      rounded_.resize(static_cast<size_t>(count));
      for (int64_t i = mine.begin; i < mine.end; ++i) {
        Convert(data[i], &rounded_[static_cast<size_t>(i)]);
      }
      GatherPieces(rounded_.data(), count);
      for (int64_t i = 0; i < count; ++i) data[i] = ToFloat(rounded_[static_cast<size_t>(i)]);
    });
  }

  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return Call("broadcast", [&] {
      Deliver({data, Bytes<float>(count)}, root, rank() == root ? Peers() : std::vector{rank()});
    });
  }

  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return Call("all-gather", [&] { GatherFromAll(data, count, out); });
  }

  absl::Status Pass(float* data, int64_t count, int from, int to) override {
    return Call("pass", [&] {
      const std::vector<int> receivers(from == to ? 0 : 1, to);
      Deliver({data, Bytes<float>(count)}, from, receivers);
    });
  }

  absl::Status Barrier() override {
    return Call("barrier", [&] {
      float nothing = 0;
      SumOfAll(&nothing, 1);
    });
  }

  void Abort(const absl::Status& why) override {
    Break(why);
    const std::lock_guard<std::mutex> lock(mutex_);
    for (::gloo::transport::UnboundBuffer* buffer : waited_for_) {
      buffer->abortWaitSend();
      buffer->abortWaitRecv();
    }
  }

 private:
  // Memory that messages leave from or arrive in.
  struct Memory {
    const void* data;
    size_t bytes;
  };
  struct Letter {
    int peer;
    size_t offset;
    size_t bytes;
  };
  struct Letters {
    std::vector<Letter> sent;
    std::vector<Letter> received;
  };

  template <typename Element>
  static size_t Bytes(int64_t count) {
    return static_cast<size_t>(count) * sizeof(Element);
  }

  FlatRange Piece(int64_t count, int rank) const { return PieceOf(count, rank, world_size()); }

  // All other ranks, the next one first, so that not all send to the same one.
  std::vector<int> Peers() const {
    std::vector<int> peers;
    for (int i = 1; i < world_size(); ++i) peers.push_back((rank() + i) % world_size());
    return peers;
  }

  // Sums this rank's piece of everybody's `mine` into data.
  template <typename Element>
  void ReduceScatter(const Element* mine, float* data, int64_t count,
                     std::vector<Element>& received) {
    const FlatRange piece = Piece(count, rank());
    received.resize(static_cast<size_t>(piece.size() * (world_size() - 1)));
    std::vector<const Element*> addends(static_cast<size_t>(world_size()), mine + piece.begin);
    Letters letters;
    int64_t arrived = 0;
    for (const int peer : Peers()) {
      const FlatRange theirs = Piece(count, peer);
      letters.sent.push_back({peer, Bytes<Element>(theirs.begin), Bytes<Element>(theirs.size())});
      letters.received.push_back({peer, Bytes<Element>(arrived), Bytes<Element>(piece.size())});
      addends[static_cast<size_t>(peer)] = received.data() + arrived;
      arrived += piece.size();
    }
    Exchange({mine, Bytes<Element>(count)}, {received.data(), Bytes<Element>(arrived)}, letters);
    SumInOrder(addends, piece.size(), data + piece.begin);
  }

  template <typename Element>
  void GatherPieces(Element* data, int64_t count) {
    const FlatRange mine = Piece(count, rank());
    Letters letters;
    for (const int peer : Peers()) {
      const FlatRange theirs = Piece(count, peer);
      letters.sent.push_back({peer, Bytes<Element>(mine.begin), Bytes<Element>(mine.size())});
      letters.received.push_back(
          {peer, Bytes<Element>(theirs.begin), Bytes<Element>(theirs.size())});
    }
    const Memory memory{data, Bytes<Element>(count)};
    Exchange(memory, memory, letters);
  }

  void GatherFromAll(const float* data, int64_t count, float* out) {
    const size_t bytes = Bytes<float>(count);
    Letters letters;
    for (const int peer : Peers()) {
      letters.sent.push_back({peer, 0, bytes});
      letters.received.push_back({peer, static_cast<size_t>(peer) * bytes, bytes});
    }
    std::copy_n(data, count, out + rank() * count);
    Exchange({data, bytes}, {out, bytes * static_cast<size_t>(world_size())}, letters);
  }

  void SumOfAll(float* data, int64_t count) {
    received_.resize(static_cast<size_t>(count * world_size()));
    GatherFromAll(data, count, received_.data());
    std::vector<const float*> addends;
    for (int rank = 0; rank < world_size(); ++rank) {
      addends.push_back(received_.data() + rank * count);
    }
    SumInOrder(addends, count, data);
  }

  // What rank `from` has in memory to each of the receivers; `from` knows all of them, every other
  // rank whether it is one. Receivers answer with a float: a rank that only receives from a peer
  // that is just gone can wait for its whole deadline, because Gloo may miss that; to send to it
  // fails at once.
  void Deliver(Memory memory, int from, const std::vector<int>& receivers) {
    if (memory.bytes == 0) return;
    constexpr size_t kAnswer = sizeof(float);
    received_.resize(static_cast<size_t>(world_size()));
    const Memory answers{received_.data(), Bytes<float>(world_size())};
    Letters letters;
    if (rank() == from) {
      for (const int peer : receivers) {
        letters.sent.push_back({peer, 0, memory.bytes});
        letters.received.push_back({peer, static_cast<size_t>(peer) * kAnswer, kAnswer});
      }
      return Exchange(memory, answers, letters);
    }
    if (std::count(receivers.begin(), receivers.end(), rank()) > 0) {
      letters.received.push_back({from, 0, memory.bytes});
      letters.sent.push_back({from, 0, kAnswer});
    }
    Exchange(answers, memory, letters);
  }

  // Sends and receives; returns when all is done, throws if it cannot be.
  void Exchange(Memory from, Memory to, const Letters& letters) {
    // Gloo's buffers are not const; those that are sent from are only read.
    const auto out = context_->createUnboundBuffer(const_cast<void*>(from.data), from.bytes);
    const auto in = context_->createUnboundBuffer(const_cast<void*>(to.data), to.bytes);
    const Waiting waiting(*this, {out.get(), in.get()});
    const uint64_t slot = next_slot_++;
    for (const Letter& letter : letters.received) {
      if (letter.bytes > 0) in->recv(letter.peer, slot, letter.offset, letter.bytes);
    }
    for (const Letter& letter : letters.sent) {
      if (letter.bytes > 0) out->send(letter.peer, slot, letter.offset, letter.bytes);
    }
    bool going = true;
    for (const Letter& letter : letters.received) {
      going = going && (letter.bytes == 0 || in->waitRecv(Remaining()));
    }
    for (const Letter& letter : letters.sent) {
      going = going && (letter.bytes == 0 || out->waitSend(Remaining()));
    }
    if (!going) throw ::gloo::IoException("aborted");
  }

  std::chrono::milliseconds Remaining() const {
    return ToChrono(deadline_ - ijepa::Clock::Real().Monotonic());
  }

  // While it lives, Abort ends the waits for these buffers. Throws if Abort came before.
  class Waiting {
   public:
    Waiting(GlooCommunicator& owner, std::vector<::gloo::transport::UnboundBuffer*> buffers)
        : owner_(owner) {
      const std::lock_guard<std::mutex> lock(owner_.mutex_);
      if (!owner_.failure_.status().ok()) throw ::gloo::IoException("aborted");
      owner_.waited_for_ = std::move(buffers);
    }
    ~Waiting() {
      const std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.waited_for_.clear();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    GlooCommunicator& owner_;
  };

  template <typename Operation>
  absl::Status Call(absl::string_view name, Operation operation) {
    const absl::Status broken = failure_.status();
    if (!broken.ok()) return broken;
    deadline_ = ijepa::Clock::Real().Monotonic() + timeout_;
    try {
      operation();
    } catch (const std::exception& error) {
      Break(Explain(name, error.what()));
    }
    return failure_.status();
  }

  // Peers see at once that this rank is gone, instead of waiting for their deadlines.
  void Break(const absl::Status& why) {
    failure_.Set(why);
    try {
      context_->closeConnections();
    } catch (const std::exception& error) {
      ijepa::LogWarning("connections of a broken communicator: ", error.what());
    }
  }

  absl::Status Explain(absl::string_view name, absl::string_view what) const {
    const std::string where = absl::StrCat("rank ", context_->rank, " of ", context_->size);
    if (absl::StrContains(what, "Timed out")) {
      return absl::DeadlineExceededError(absl::StrCat(
          where, ": no ", name, " within ", absl::FormatDuration(timeout_), "; a peer hangs"));
    }
    return absl::AbortedError(absl::StrCat(where, ": ", name, " failed, a peer is gone: ", what));
  }

  const std::shared_ptr<::gloo::rendezvous::Context> context_;
  const absl::Duration timeout_;
  Failure failure_;
  std::mutex mutex_;
  std::vector<::gloo::transport::UnboundBuffer*> waited_for_;  // Guarded by mutex_.
  // Of the calling thread.
  absl::Duration deadline_;
  uint64_t next_slot_ = 0;
  std::vector<float> received_;
  std::vector<Bf16> rounded_;
  std::vector<Bf16> received_bf16_;
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
