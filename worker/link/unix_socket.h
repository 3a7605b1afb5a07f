// Unix sockets in folders of any length: the 107 bytes that an address may have hold only
// /proc/self/fd/N/NAME, N being the opened folder.
#ifndef IJEPA_WORKER_LINK_UNIX_SOCKET_H_
#define IJEPA_WORKER_LINK_UNIX_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/file.h"

namespace ijepa::link {

// Listens on FOLDER/NAME, taking the place of a socket file that is there. Non-blocking.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& folder, const std::string& name);

// Connects to FOLDER/NAME. Never blocks; the socket is non-blocking. Returns Unavailable or
// NotFound while nobody listens: try again.
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& folder, const std::string& name);

}  // namespace ijepa::link

#endif  // IJEPA_WORKER_LINK_UNIX_SOCKET_H_
