// See store.h: what an engine need not bring.
#include "coordinator/store/store.h"

#include "common/status_macros.h"

namespace ijepa::coordinator {

absl::Status Store::Scan(absl::string_view prefix,
                         const std::function<absl::Status(KeyValue)>& take) {
  IJEPA_ASSIGN_OR_RETURN(std::vector<KeyValue> pairs, Range(prefix));
  for (KeyValue& pair : pairs) IJEPA_RETURN_IF_ERROR(take(std::move(pair)));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<History>> Store::OpenHistory() {
  return absl::UnimplementedError("this store keeps no history");
}

absl::StatusOr<int64_t> Store::Backup(const std::string&) {
  return absl::UnimplementedError("this store cannot be backed up");
}

}  // namespace ijepa::coordinator
