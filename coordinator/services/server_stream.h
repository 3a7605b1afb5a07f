// How a stream to a client ends: from any thread, at any time, once, and never beside a write.
#ifndef IJEPA_COORDINATOR_SERVICES_SERVER_STREAM_H_
#define IJEPA_COORDINATOR_SERVICES_SERVER_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "coordinator/services/gate.h"
#include "coordinator/services/grpc_status.h"

namespace ijepa::coordinator {

template <typename Message>
class ServerStream : public grpc::ServerWriteReactor<Message> {
 public:
  // Any thread. The first reason stays; it goes out once the write under way is over.
  void Close(const absl::Status& why) {
    std::lock_guard lock(mutex_);
    CloseLocked(why);
  }

  // Closes it if its token no longer holds.
  void Review(Gate& gate) {
    if (absl::Status may = gate.Review(pass_); !may.ok()) Close(may);
  }

  void OnCancel() override { Close(absl::CancelledError("the client is gone")); }

 protected:
  explicit ServerStream(Pass pass) : pass_(std::move(pass)) {}

  // The rest with mutex_ held.
  void CloseLocked(const absl::Status& why) {
    if (closed_) return;
    closed_ = true;
    status_ = why;
    if (!writing_) this->Finish(ToGrpc(status_));
  }
  // `message` stays as it is until Written. Only while there is no other write, and not closed.
  void Write(const Message* message) {
    writing_ = true;
    this->StartWrite(message);
  }
  // First in OnWriteDone. False: it was closed meanwhile, and is finished now.
  bool Written() {
    writing_ = false;
    if (closed_) this->Finish(ToGrpc(status_));
    return !closed_;
  }
  bool writing() const { return writing_; }
  bool closed() const { return closed_; }

  const Pass pass_;
  std::mutex mutex_;

 private:
  // Guarded by mutex_.
  bool writing_ = false;
  bool closed_ = false;
  absl::Status status_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_SERVER_STREAM_H_
