// See auth_service.h.
#include "coordinator/services/auth_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/page_size.h"

namespace ijepa::coordinator {
namespace {

using Unary = grpc::ServerUnaryReactor;

constexpr int kIdLength = 8;
// 5 bits each: 160 bits.
constexpr int kSecretLength = 32;
constexpr char kSecretPrefix[] = "ijepa_";
constexpr int64_t kMaxLifetime = 315360000;
constexpr size_t kMaxUserBytes = 63;
constexpr int kMaxGrants = 64;

bool IsUser(const std::string& user) {
  const auto fits = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '@' ||
           c == '-';
  };
  return !user.empty() && user.size() <= kMaxUserBytes && absl::ascii_isalnum(user[0]) &&
         std::all_of(user.begin(), user.end(), fits);
}

absl::Status CheckToken(const v1::CreateTokenRequest& request) {
  if (!IsUser(request.user())) {
    return absl::InvalidArgumentError(
        absl::StrCat("user is \"", request.user(),
                     "\"; must be lower-case letters, digits, ., _, @ and -, at most ",
                     kMaxUserBytes, " characters"));
  }
  if (request.grants().empty() || request.grants_size() > kMaxGrants) {
    return absl::InvalidArgumentError(absl::StrCat("grants has ", request.grants_size(),
                                                   " entries; must have 1 to ", kMaxGrants));
  }
  for (const v1::Grant& grant : request.grants()) {
    const bool is_role = v1::Role_IsValid(grant.role()) && grant.role() != v1::ROLE_UNSPECIFIED;
    if (!is_role || grant.project().empty()) {
      return absl::InvalidArgumentError(
          "grants has an entry without project or role; write for example default:user");
    }
  }
  if (request.lifetime_seconds() < 0 || request.lifetime_seconds() > kMaxLifetime) {
    return absl::InvalidArgumentError(absl::StrCat("lifetime_seconds is ",
                                                   request.lifetime_seconds(), "; must be in [0, ",
                                                   kMaxLifetime, "]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ListAuditEventsResponse> ReadAudit(History& history,
                                                      const v1::ListAuditEventsRequest& request) {
  int64_t below = INT64_MAX;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &below)) {
    return absl::InvalidArgumentError("page_token is damaged; start again without it");
  }
  IJEPA_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  IJEPA_ASSIGN_OR_RETURN(const auto lines, history.Audit(below, request.user(), size + 1));
  v1::ListAuditEventsResponse response;
  for (const auto& [sequence, record] : lines) {
    if (response.events_size() == size) {
      response.set_next_page_token(absl::StrCat(response.events(size - 1).sequence()));
      break;
    }
    v1::AuditEvent& event = *response.add_events();
    event.ParseFromString(record);
    event.set_sequence(sequence);
  }
  return response;
}

}  // namespace

Unary* AuthService::CreateToken(Context* context, const v1::CreateTokenRequest* request,
                                v1::CreateTokenResponse* response) {
  static constexpr char kMethod[] = "AuthService/CreateToken";
  return parts_.calls.Run({*context, kMethod}, [&](Unary* reactor, const Caller& caller) {
    if (absl::Status valid = CheckToken(*request); !valid.ok()) {
      return reactor->Finish(ToGrpc(valid));
    }
    const std::string secret = absl::StrCat(kSecretPrefix, parts_.random(kSecretLength));
    AddToken command;
    command.stored.set_digest(DigestOfSecret(secret));
    v1::Token& token = *command.stored.mutable_token();
    token.set_name(absl::StrCat("tokens/", parts_.random(kIdLength)));
    token.set_user(request->user());
    *token.mutable_grants() = request->grants();
    token.set_scope(request->scope());
    const absl::Time now = parts_.clock.Now();
    *token.mutable_create_time() = ToProto(now);
    if (request->lifetime_seconds() > 0) {
      *token.mutable_expire_time() = ToProto(now + absl::Seconds(request->lifetime_seconds()));
    }
    v1::CreateTokenResponse made;
    *made.mutable_token() = token;
    made.set_secret(secret);
    parts_.calls.state().Call(
        std::move(command),
        [done = FinishWith(reactor, response), made](absl::StatusOr<v1::Job> stored) {
          stored.ok() ? done(made) : done(stored.status());
        },
        ClientCalls::LineOf(kMethod, token.name(), caller));
  });
}

Unary* AuthService::ListTokens(Context* context, const v1::ListTokensRequest*,
                               v1::ListTokensResponse* response) {
  return parts_.calls.Run({*context, "AuthService/ListTokens"}, [&](Unary* reactor, const Caller&) {
    ReadStateFor(parts_.calls.state(), reactor, [response](const State& state) {
      for (const auto& [id, stored] : state.tokens) {
        *response->add_tokens() = stored.token();
      }
      return absl::OkStatus();
    });
  });
}

Unary* AuthService::RevokeToken(Context* context, const v1::RevokeTokenRequest* request,
                                v1::RevokeTokenResponse*) {
  static constexpr char kMethod[] = "AuthService/RevokeToken";
  return parts_.calls.Run({*context, kMethod}, [&](Unary* reactor, const Caller& caller) {
    parts_.calls.state().Call(
        coordinator::RevokeToken{.name = request->name()},
        [reactor](absl::StatusOr<v1::Job> done) { reactor->Finish(ToGrpc(done.status())); },
        ClientCalls::LineOf(kMethod, request->name(), caller));
  });
}

Unary* AuthService::WhoAmI(Context* context, const v1::WhoAmIRequest*, v1::Token* response) {
  return parts_.calls.Run({*context, "AuthService/WhoAmI"},
                          [&](Unary* reactor, const Caller& caller) {
                            *response = caller.token;
                            reactor->Finish(grpc::Status::OK);
                          });
}

Unary* AuthService::ListAuditEvents(Context* context, const v1::ListAuditEventsRequest* request,
                                    v1::ListAuditEventsResponse* response) {
  return parts_.calls.Run(
      {*context, "AuthService/ListAuditEvents"}, [&](Unary* reactor, const Caller&) {
        const auto done = FinishWith(reactor, response);
        const absl::Status taken =
            parts_.history.TryRead([request, done](absl::StatusOr<History*> history) {
              history.ok() ? done(ReadAudit(**history, *request)) : done(history.status());
            });
        if (!taken.ok()) done(taken);
      });
}

}  // namespace ijepa::coordinator
