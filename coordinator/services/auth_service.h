// Tokens and the audit log over gRPC.
#ifndef IJEPA_COORDINATOR_SERVICES_AUTH_SERVICE_H_
#define IJEPA_COORDINATOR_SERVICES_AUTH_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "common/clock.h"
#include "coordinator/history_thread.h"
#include "coordinator/services/client_calls.h"
#include "coordinator/services/submission.h"
#include "ijepa/v1/auth.grpc.pb.h"

namespace ijepa::coordinator {

// Thread-safe. What it is given outlives it.
class AuthService : public v1::AuthService::CallbackService {
 public:
  using Unary = grpc::ServerUnaryReactor;
  using Context = grpc::CallbackServerContext;

  struct Parts {
    ClientCalls& calls;
    HistoryThread& history;
    Clock& clock;
    RandomText random;
  };
  explicit AuthService(Parts parts) : parts_(std::move(parts)) {}

  Unary* CreateToken(Context* context, const v1::CreateTokenRequest* request,
                     v1::CreateTokenResponse* response) override;
  Unary* ListTokens(Context* context, const v1::ListTokensRequest* request,
                    v1::ListTokensResponse* response) override;
  Unary* RevokeToken(Context* context, const v1::RevokeTokenRequest* request,
                     v1::RevokeTokenResponse* response) override;
  Unary* WhoAmI(Context* context, const v1::WhoAmIRequest* request, v1::Token* response) override;
  Unary* ListAuditEvents(Context* context, const v1::ListAuditEventsRequest* request,
                         v1::ListAuditEventsResponse* response) override;

 private:
  Parts parts_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_AUTH_SERVICE_H_
