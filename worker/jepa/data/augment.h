// One training view of one image: the published transform, drawn from one stream of random numbers.
#ifndef IJEPA_WORKER_JEPA_DATA_AUGMENT_H_
#define IJEPA_WORKER_JEPA_DATA_AUGMENT_H_

#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/plan/random.h"

namespace jepa {

// Random resized crop, then as data says: flip (half of the images); colour jitter (four fifths, in
// random order) and grey (a fifth); blur (half, radius 0.1 to 2). Writes crop_size x crop_size
// pixels as planar RGB to `planes`, [3, crop_size, crop_size]. ijepa-spec 4.
void WriteTrainingView(const Image& image, const DataConfig& data, Philox& random, uint8_t* planes);

// Interleaved RGB to planar; `mirror` swaps left and right.
void WritePlanes(const Image& image, bool mirror, uint8_t* planes);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_AUGMENT_H_
