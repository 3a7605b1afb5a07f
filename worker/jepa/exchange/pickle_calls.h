// What the few callables of a pickle stand for: values are built from checked arguments, nothing is
// called.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_CALLS_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_CALLS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/exchange/pickle_reader.h"

namespace jepa {

// Whether "MODULE NAME" is on the list of names.
bool IsKnownGlobal(absl::string_view name);

// REDUCE: fills `result` with what global `name` makes of `arguments`, a tuple.
absl::Status CallGlobal(const std::string& name, const PickleValue& arguments, PickleValue& result);

// BINPERSID: fills `result` from ('storage', TYPE, KEY, LOCATION, COUNT).
absl::Status MakeStorage(const PickleValue& identity, PickleValue& result);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_CALLS_H_
