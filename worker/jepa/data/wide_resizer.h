// The resize of images of 16-bit values.
#ifndef IJEPA_WORKER_JEPA_DATA_WIDE_RESIZER_H_
#define IJEPA_WORKER_JEPA_DATA_WIDE_RESIZER_H_

#include <cstdint>

#include "worker/jepa/data/image.h"
#include "worker/jepa/data/view_resizer.h"

namespace jepa {

// Writes the view of `image` (16-bit, any channels) to `planes`, [channels, height, width] of
// 16-bit values in the machine's byte order; every channel as Pillow 13 resizes a 16-bit grey image
// (mode I;16): sums in double precision, rounded to 16 bits between the passes.
void ResizeWide(const Image& image, const ViewGeometry& geometry, uint8_t* planes);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_WIDE_RESIZER_H_
