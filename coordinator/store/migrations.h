// The schema of the store's file: numbered steps, forward only.
#ifndef IJEPA_COORDINATOR_STORE_MIGRATIONS_H_
#define IJEPA_COORDINATOR_STORE_MIGRATIONS_H_

#include <string>

#include "absl/status/status.h"
#include "coordinator/store/sqlite_connection.h"

namespace ijepa::coordinator {

// Schema that this version writes.
int NewestSchema();

// Brings the file to NewestSchema, each step in a transaction of its own. A file that holds
// something is copied to <path>.schema-<N> first. Returns FailedPrecondition for a newer schema.
absl::Status Migrate(Connection& connection);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_MIGRATIONS_H_
