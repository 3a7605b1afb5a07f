// See gate.h.
#include "coordinator/services/gate.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

constexpr char kHeader[] = "authorization";
constexpr char kScheme[] = "Bearer ";
// Services whose methods are about something in a project.
constexpr const char* kProjectServices[] = {"ArrayService/", "CheckpointService/", "JobService/",
                                            "LogService/"};
constexpr size_t kMaxUsers = 10000;

struct MethodRole {
  const char* method;
  v1::Role role;
};

constexpr MethodRole kRoles[] = {
    {"ArrayService/CancelArray", v1::ROLE_USER},
    {"ArrayService/CreateArray", v1::ROLE_USER},
    {"ArrayService/GetArray", v1::ROLE_VIEWER},
    {"AuthService/CreateToken", v1::ROLE_ADMIN},
    {"AuthService/ListAuditEvents", v1::ROLE_ADMIN},
    {"AuthService/ListTokens", v1::ROLE_ADMIN},
    {"AuthService/RevokeToken", v1::ROLE_ADMIN},
    {"AuthService/WhoAmI", v1::ROLE_VIEWER},
    {"CheckpointService/ListCheckpoints", v1::ROLE_VIEWER},
    {"CheckpointService/PinCheckpoint", v1::ROLE_USER},
    {"CheckpointService/UnpinCheckpoint", v1::ROLE_USER},
    {"JobService/CancelJob", v1::ROLE_USER},
    {"JobService/CreateJob", v1::ROLE_USER},
    {"JobService/ExplainJob", v1::ROLE_VIEWER},
    {"JobService/ForkJob", v1::ROLE_USER},
    {"JobService/GetJob", v1::ROLE_VIEWER},
    {"JobService/HoldJob", v1::ROLE_USER},
    {"JobService/ListJobs", v1::ROLE_VIEWER},
    {"JobService/PauseJob", v1::ROLE_USER},
    {"JobService/ReleaseJob", v1::ROLE_USER},
    {"JobService/ResumeJob", v1::ROLE_USER},
    {"JobService/WatchJob", v1::ROLE_VIEWER},
    {"JobService/WatchJobs", v1::ROLE_VIEWER},
    {"LogService/ReadLogs", v1::ROLE_VIEWER},
    {"NodeService/CordonNode", v1::ROLE_ADMIN},
    {"NodeService/ListNodes", v1::ROLE_VIEWER},
    {"NodeService/ReleaseNode", v1::ROLE_ADMIN},
    {"NodeService/SetMaintenance", v1::ROLE_ADMIN},
    {"NodeService/UncordonNode", v1::ROLE_ADMIN},
    {"QueueService/ListQueues", v1::ROLE_VIEWER},
    {"SystemService/BackupStore", v1::ROLE_ADMIN},
    {"SystemService/GetServerInfo", v1::ROLE_VIEWER},
};

const MethodRole* FindRole(absl::string_view method) {
  const auto* found = std::find_if(std::begin(kRoles), std::end(kRoles),
                                   [&](const MethodRole& entry) { return entry.method == method; });
  return found == std::end(kRoles) ? nullptr : found;
}

bool IsOfProject(absl::string_view method) {
  return std::any_of(std::begin(kProjectServices), std::end(kProjectServices),
                     [&](const char* service) { return absl::StartsWith(method, service); });
}

// What the token may do: the best of the grants that count, within its scope.
template <typename Counts>
v1::Role RoleOf(const v1::Token& token, const Counts& counts) {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  for (const v1::Grant& grant : token.grants()) {
    if (grant.project() == kAllProjects || counts(grant)) role = std::max(role, grant.role());
  }
  return token.scope() == v1::ROLE_UNSPECIFIED ? role : std::min(role, token.scope());
}

v1::Token LocalToken() {
  v1::Token token;
  token.set_name("tokens/local");
  token.set_user("local");
  v1::Grant& grant = *token.add_grants();
  grant.set_project(kAllProjects);
  grant.set_role(v1::ROLE_ADMIN);
  return token;
}

absl::Status NoToken(absl::string_view why) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat(
                        why, "; give ijepactl one with --token-file or IJEPA_TOKEN_FILE")),
                    "NO_TOKEN");
}

absl::StatusOr<std::string> SecretIn(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto header = metadata.find(kHeader);
  if (header == metadata.end()) return NoToken("this coordinator asks for a token");
  absl::string_view secret(header->second.data(), header->second.size());
  if (!absl::ConsumePrefix(&secret, kScheme)) return NoToken("authorization is not Bearer TOKEN");
  return std::string(secret);
}

}  // namespace

std::string DigestOfSecret(absl::string_view secret) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

v1::Role RoleFor(absl::string_view method) {
  const MethodRole* found = FindRole(method);
  return found == nullptr ? v1::ROLE_ADMIN : found->role;
}

bool HasRoleFor(absl::string_view method) { return FindRole(method) != nullptr; }

Gate::Gate(Options options, Clock& clock)
    : options_(std::move(options)),
      local_digest_(options_.local_secret.empty() ? "" : DigestOfSecret(options_.local_secret)),
      clock_(clock) {
  SetTokens({});
}

void Gate::SetTokens(const std::map<std::string, v1::StoredToken>& tokens) {
  std::map<std::string, v1::Token> by_digest;
  for (const auto& [id, stored] : tokens) by_digest[stored.digest()] = stored.token();
  if (!local_digest_.empty()) by_digest[local_digest_] = LocalToken();
  std::lock_guard lock(mutex_);
  tokens_ = std::move(by_digest);
}

absl::StatusOr<v1::Token> Gate::FindToken(const std::string& digest) {
  std::lock_guard lock(mutex_);
  const auto found = tokens_.find(digest);
  if (found == tokens_.end()) return NoToken("the token is not known, or was revoked");
  const v1::Token& token = found->second;
  if (token.has_expire_time() && FromProto(token.expire_time()) <= clock_.Now()) {
    return NoToken(absl::StrCat("the token of ", token.user(), " has expired"));
  }
  return token;
}

absl::Status Gate::CheckRole(const v1::Token& token, const Wish& wish) const {
  const v1::Role needed = RoleFor(wish.method);
  const bool of_project = IsOfProject(wish.method);
  const bool anywhere = !of_project && needed <= v1::ROLE_VIEWER;
  const v1::Role role = RoleOf(token, [&](const v1::Grant& grant) {
    return anywhere || (of_project && grant.project() == wish.project);
  });
  if (role >= needed) return absl::OkStatus();
  const bool all = !of_project || wish.project == kAllProjects;
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          wish.method, " needs the role ", v1::Role_Name(needed),
          all ? " in every project; " : absl::StrCat(" in project ", wish.project, "; "),
          token.user(), " has ", v1::Role_Name(role), "; ask an admin for more")),
      "ROLE_TOO_LOW", token.user());
}

absl::Status Gate::Review(const Pass& pass) {
  if (options_.open) return absl::OkStatus();
  const absl::StatusOr<v1::Token> token = FindToken(pass.digest);
  return token.ok() ? CheckRole(*token, pass.wish) : token.status();
}

absl::Status Gate::Spend(const std::string& user) {
  const absl::Duration now = clock_.Monotonic();
  std::lock_guard lock(mutex_);
  if (allowances_.size() >= kMaxUsers && allowances_.count(user) == 0) allowances_.clear();
  auto [it, first] = allowances_.try_emplace(user, Allowance{options_.burst, now});
  Allowance& allowance = it->second;
  const double earned = absl::ToDoubleSeconds(now - allowance.time) * options_.calls_per_second;
  allowance.calls = std::min(options_.burst, allowance.calls + earned);
  allowance.time = now;
  if (allowance.calls >= 1) {
    allowance.calls -= 1;
    return absl::OkStatus();
  }
  return WithRetry(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                  user, " makes more than ", options_.calls_per_second,
                                  " calls per second, the limit; try again in a second")),
                              "RATE_LIMIT", user),
                   absl::Seconds(1));
}

absl::StatusOr<Caller> Gate::Admit(const grpc::ServerContextBase& context, Wish wish) {
  Caller caller;
  caller.peer = context.peer();
  caller.pass.wish = std::move(wish);
  if (options_.open) return caller;
  absl::StatusOr<std::string> secret = SecretIn(context);
  if (!secret.ok()) return secret.status();
  // Digests are looked up, not secrets: the time it takes says nothing of them.
  caller.pass.digest = DigestOfSecret(*secret);
  absl::StatusOr<v1::Token> token = FindToken(caller.pass.digest);
  if (!token.ok()) return token.status();
  caller.user = token->user();
  caller.token = *std::move(token);
  if (absl::Status may = CheckRole(caller.token, caller.pass.wish); !may.ok()) return may;
  if (absl::Status within = Spend(caller.user); !within.ok()) return within;
  return caller;
}

bool Gate::Admit(grpc::CallbackServerContext& context, Wish wish, grpc::ServerUnaryReactor* reactor,
                 Caller& caller) {
  absl::StatusOr<Caller> admitted = Admit(context, std::move(wish));
  if (!admitted.ok()) {
    reactor->Finish(ToGrpc(admitted.status()));
    return false;
  }
  caller = *std::move(admitted);
  return true;
}

}  // namespace ijepa::coordinator
