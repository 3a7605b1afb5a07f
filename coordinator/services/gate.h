// Who calls, and what they may: bearer tokens, one role per method and project, a rate per user.
//
// Methods of jobs, arrays, checkpoints and logs ask for their role in the project of what they are
// about. The others are about the cluster: what changes it asks for the role in every project, what
// shows it for the role in any.
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
#include "coordinator/core/names.h"
#include "coordinator/services/grpc_status.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

// What is asked for: a method ("JobService/CancelJob"), and the project of what it is about.
struct Wish {
  // Outlives all who hold it.
  const char* method;
  // kAllProjects: of every project. Not looked at for methods that are about the cluster.
  std::string project = kAllProjects;
};

// What let somebody in, so that streams that go on can ask again (Gate::Review).
struct Pass {
  Wish wish;
  // Of the token; empty where nobody is asked.
  std::string digest;
};

// One who was let in.
struct Caller {
  // Empty where nobody is asked.
  std::string user;
  // What they showed; empty where nobody is asked.
  v1::Token token;
  // Address, as gRPC words it.
  std::string peer;
  Pass pass;
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
    // Calls of one user per second, and at once; 0: none.
    double calls_per_second = 0;
    double burst = 0;
  };

  // `clock` outlives the gate.
  Gate(Options options, Clock& clock);

  // By id; takes the place of all before, but for the local one.
  void SetTokens(const std::map<std::string, v1::StoredToken>& tokens);

  // Unauthenticated without a valid token, PermissionDenied if its role is too low,
  // ResourceExhausted past the rate.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, Wish wish);

  // The same for a unary call; false: it has been refused and finished.
  bool Admit(grpc::CallbackServerContext& context, Wish wish, grpc::ServerUnaryReactor* reactor,
             Caller& caller);

  // Whether who was let in would be let in again: the token may have been revoked or have expired.
  // Costs the caller nothing of the rate.
  absl::Status Review(const Pass& pass);

  // One call of the user. ResourceExhausted, with when to try again, past the rate.
  absl::Status Spend(const std::string& user);

 private:
  struct Allowance {
    double calls = 0;
    absl::Duration time;
  };
  absl::StatusOr<v1::Token> FindToken(const std::string& digest);
  absl::Status CheckRole(const v1::Token& token, const Wish& wish) const;

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
