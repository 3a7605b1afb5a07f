// The address by which this machine reaches another: the one that the other's network knows it by.
#ifndef IJEPA_WORKER_DAEMON_LOCAL_ADDRESS_H_
#define IJEPA_WORKER_DAEMON_LOCAL_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"

namespace ijepa::worker {

// The local IPv4 address that packets to `peer`, HOST:PORT, would leave from; nothing is sent.
// Unavailable if the host has no address or no route leads there. Blocks for a look-up of the name.
absl::StatusOr<std::string> LocalAddressTowards(const std::string& peer);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_LOCAL_ADDRESS_H_
