// Position tables for another grid. ijepa-spec 1.2.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_REGRID_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_REGRID_H_

#include <memory>
#include <optional>
#include <vector>

#include "worker/jepa/exchange/state_source.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

// Bicubic interpolation (a = -0.75, corners not aligned, edges repeated; torch's
// interpolate(mode="bicubic")) of a table [from.height * from.width, width], row-major.
std::vector<float> InterpolateTable(const std::vector<float>& table, MaskGrid from, MaskGrid to,
                                    int width);

// Whether a table is the sin-cos one of its grid, to 1e-5.
bool IsSinCosTable(const std::vector<float>& table, MaskGrid grid, int width);

// The grid of which `table` is the sin-cos one, to 1e-5; none if it is of no grid.
std::optional<MaskGrid> SinCosGrid(const std::vector<float>& table, int width);

// `source` with its position tables on `grid`. On its own grid they stay as they are. A sin-cos
// table becomes that of the new grid, exactly; another one, which somebody has learnt, is
// interpolated, and info().notes says so. Errors: those of reading the tables.
absl::StatusOr<std::unique_ptr<StateSource>> OnGrid(std::unique_ptr<StateSource> source,
                                                    MaskGrid grid);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_REGRID_H_
