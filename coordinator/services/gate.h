// Who calls, and what they may: bearer tokens, one role per method, a rate per user.
#ifndef IJEPA_COORDINATOR_SERVICES_GATE_H_
#define IJEPA_COORDINATOR_SERVICES_GATE_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "coordinator/services/grpc_status.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

// One who was let in.
struct Caller {
  // Empty where nobody is asked.
  std::string user;
  // What they showed; empty where nobody is asked.
  v1::Token token;
  // Address, as gRPC words it.
  std::string peer;
};

// SHA-256 of the secret of a token: 32 bytes.
std::string DigestOfSecret(absl::string_view secret);

// The role that a method ("JobService/CancelJob") needs. ADMIN for one that is not in the table.
v1::Role RoleFor(absl::string_view method);
// Whether the table has it.
bool HasRoleFor(absl::string_view method);

// Thread-safe.
class Gate {
 public:
  struct Options {
    // Everybody may do everything.
    bool open = false;
    // Of a token with every role that is in no store: the local one. Empty: none.
    std::string local_secret;
    // Calls of one user per second, and at once. Higher: one user may hold up the others.
    double calls_per_second = 1000;
    double burst = 2000;
  };

  // `clock` outlives the gate.
  Gate(Options options, Clock& clock);

  // By id; takes the place of all before, but for the local one.
  void SetTokens(const std::map<std::string, v1::StoredToken>& tokens);

  // Unauthenticated without a valid token, PermissionDenied if its role is too low,
  // ResourceExhausted past the rate.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, absl::string_view method);

  // The same for a unary call; false: it has been refused and finished.
  bool Admit(grpc::CallbackServerContext& context, absl::string_view method,
             grpc::ServerUnaryReactor* reactor, Caller& caller);

  // One call of the user. ResourceExhausted, with when to try again, past the rate.
  absl::Status Spend(const std::string& user);

 private:
  struct Allowance {
    double calls = 0;
    absl::Duration time;
  };
  absl::StatusOr<v1::Token> FindToken(const grpc::ServerContextBase& context);

  const Options options_;
  const std::string local_digest_;
  Clock& clock_;

  std::mutex mutex_;
  // Guarded by mutex_. By digest.
  std::map<std::string, v1::Token> tokens_;
  std::map<std::string, Allowance> allowances_;
};

// A stream that ends at once with an error. Deletes itself.
template <typename Item>
class RefusedStream : public grpc::ServerWriteReactor<Item> {
 public:
  explicit RefusedStream(const absl::Status& why) { this->Finish(ToGrpc(why)); }
  void OnDone() override { delete this; }
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_GATE_H_
