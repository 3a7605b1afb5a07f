// Live state as keys and values: batches that are all or nothing, guarded by what other keys hold.
// Small enough that etcd can stand behind it: compare, put, delete, range by prefix.
#ifndef IJEPA_COORDINATOR_STORE_STORE_H_
#define IJEPA_COORDINATOR_STORE_STORE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

struct KeyValue {
  std::string key;
  std::string value;
};

// Puts `value`, or deletes the key when there is none.
struct Write {
  std::string key;
  std::optional<std::string> value;
};

// The key holds exactly `value`; no value: the key is not there.
struct Condition {
  std::string key;
  std::optional<std::string> value;
};

struct Batch {
  std::vector<Condition> conditions;
  // Later writes to a key win over earlier ones.
  std::vector<Write> writes;
};

// Used by one thread, the state thread.
class Store {
 public:
  virtual ~Store() = default;

  // Makes the whole batch durable, or changes nothing. Returns Aborted if a condition does not
  // hold; ResourceExhausted if the disk is full; Unavailable or Internal if the engine failed, when
  // the batch may or may not be there after a reload. Blocks for the time of a sync to disk.
  virtual absl::Status Commit(const Batch& batch) = 0;

  // All pairs whose keys begin with `prefix`, in order of their keys (bytewise).
  virtual absl::StatusOr<std::vector<KeyValue>> Range(absl::string_view prefix) = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_STORE_H_
