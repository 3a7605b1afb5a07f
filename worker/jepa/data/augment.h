// One training view of one image: the published transform, drawn from one stream of random numbers.
#ifndef IJEPA_WORKER_JEPA_DATA_AUGMENT_H_
#define IJEPA_WORKER_JEPA_DATA_AUGMENT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/data/view_resizer.h"
#include "worker/jepa/plan/random.h"

namespace jepa {

// What one thread needs to make views, kept from view to view.
struct ViewTools {
  ImageReader reader;
  ViewResizer resizer;
  std::string bytes;       // Of a file.
  absl::Duration reading;  // Of the files of the last view, those replaced included.
};

// The training view of the image file `bytes`: random resized crop, then as data says: flip (half
// of the images); colour jitter (four fifths, in random order) and grey (a fifth); blur (half,
// radius 0.1 to 2). Writes data.crop_size pixels to `planes`, [channels, height, width].
// Errors as ImageReader's; `planes` may be written in part then. ijepa-spec 4. Differs for a view
// that is not square: the crop's aspect ratio is drawn relative to the view's, so that shapes stay;
// and where data.dct_scaling decodes the image smaller (view_scale.h).
absl::Status WriteTrainingView(absl::string_view bytes, const DataConfig& data, Philox& random,
                               ViewTools& tools, uint8_t* planes);

// The view of probes: ResizeAndCentreCrop (decode.h) of the image as `data` reads it, no chance.
absl::Status WriteProbeView(absl::string_view bytes, const DataConfig& data, ViewTools& tools,
                            uint8_t* planes);

// Of one view: channels * height * width values of bit_depth bits.
size_t ViewBytes(const DataConfig& data);

// Planar RGB to an image, and back.
Image Interleaved(const uint8_t* planes, const Size& size);
void WritePlanes(const Image& image, uint8_t* planes);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_AUGMENT_H_
