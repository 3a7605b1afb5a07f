// Live state as keys and values: batches that are all or nothing, guarded by what other keys hold.
// Small enough that etcd can stand behind it: compare, put, delete, range by prefix. What has ended
// goes to history (history.h), which an engine may keep elsewhere.
#ifndef IJEPA_COORDINATOR_STORE_STORE_H_
#define IJEPA_COORDINATOR_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/store/history.h"

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
  // Put into history in the same step; an engine whose history is elsewhere adds them there first,
  // which does no harm if the rest then fails: they are added again.
  std::vector<SealedRow> sealed;
  std::vector<AuditRow> audit;
  // Of jobs that ended before `before`, and of older lines of the audit log, at most `limit` each
  // are removed.
  struct Prune {
    absl::Time before;
    int limit = 0;
  };
  std::optional<Prune> prune;
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

  // The same one by one, so that they need not fit into memory together. Ends early with the error
  // that `take` gives. `take` does not call the store.
  virtual absl::Status Scan(absl::string_view prefix,
                            const std::function<absl::Status(KeyValue)>& take);

  // Jobs by state that Batch::prune has removed from history since the last call.
  virtual std::map<int, int64_t> TakeForgotten() { return {}; }

  // A reader of its history. The store outlives it.
  virtual absl::StatusOr<std::unique_ptr<History>> OpenHistory();

  // Writes all of the store to a new file at `path`, as it is at one instant. May be called on any
  // thread, while others read and write. Returns its bytes; AlreadyExists if there is such a file.
  virtual absl::StatusOr<int64_t> Backup(const std::string& path);
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_STORE_H_
