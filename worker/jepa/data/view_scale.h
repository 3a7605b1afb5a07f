// Decoding large JPEGs small: data.dct_scaling.
#ifndef IJEPA_WORKER_JEPA_DATA_VIEW_SCALE_H_
#define IJEPA_WORKER_JEPA_DATA_VIEW_SCALE_H_

#include "worker/jepa/config.h"
#include "worker/jepa/data/view_resizer.h"

namespace jepa {

// By how much an image may be decoded smaller: 8, 4, 2, or 1 for not at all. More than 1 only where
// the image is at least 900 pixels on both sides and the crop keeps twice the pixels of the view in
// both directions. performance.md 5.
int DctReduction(const Size& image, const ViewGeometry& geometry);

// The same view of the image decoded smaller by `reduction`: its sides are those of the image over
// it, rounded up. The crop becomes the pixels it touches, and its exact place the box.
ViewGeometry Reduced(const ViewGeometry& geometry, int reduction, const Size& reduced_image);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_VIEW_SCALE_H_
