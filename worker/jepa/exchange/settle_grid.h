// Which grid a state's position tables are of. Shapes show only how many patches there are; the
// file may say the grid, and a sin-cos table shows it.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_SETTLE_GRID_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_SETTLE_GRID_H_

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// The figures of `state` with its grid: what the file says, else that of the target encoder's
// sin-cos table, else that of `crop` (pixels; zeros: none) if it has as many patches, else the
// square, and then a note says so. Returns InvalidArgument if the file says another grid than its
// table shows, or if nothing tells it; errors of reading the table.
absl::StatusOr<StateInfo> SettleGrid(const StateSource& state, Size crop);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_SETTLE_GRID_H_
