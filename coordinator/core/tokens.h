// Tokens that open the API. The core knows only their digests.
#ifndef IJEPA_COORDINATOR_CORE_TOKENS_H_
#define IJEPA_COORDINATOR_CORE_TOKENS_H_

#include "coordinator/core/command.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Replies with an empty job; ResourceExhausted past kMaxTokens.
void HandleAddToken(Turn& turn, const AddToken& command);

// Replies with an empty job, whether there was such a token or not.
void HandleRevokeToken(Turn& turn, const RevokeToken& command);

inline constexpr size_t kMaxTokens = 10000;

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_TOKENS_H_
