// See tokens.h.
#include "coordinator/core/tokens.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/core/keys.h"

namespace ijepa::coordinator {
namespace {

std::string IdOf(absl::string_view name) {
  absl::ConsumePrefix(&name, "tokens/");
  return std::string(name);
}

}  // namespace

void HandleAddToken(Turn& turn, const AddToken& command) {
  if (turn.state.tokens.size() >= kMaxTokens) {
    turn.Reply(command.token, absl::ResourceExhaustedError(absl::StrCat(
                                  kMaxTokens, " tokens are there, the limit; revoke some")));
    return;
  }
  const std::string id = IdOf(command.stored.token().name());
  turn.state.tokens[id] = command.stored;
  turn.Put(TokenKey(id), command.stored.SerializeAsString());
  turn.AnnounceTokens();
  turn.Reply(command.token, v1::Job());
}

void HandleRevokeToken(Turn& turn, const RevokeToken& command) {
  const std::string id = IdOf(command.name);
  if (turn.state.tokens.erase(id) > 0) {
    turn.Delete(TokenKey(id));
    turn.AnnounceTokens();
  }
  turn.Reply(command.token, v1::Job());
}

}  // namespace ijepa::coordinator
