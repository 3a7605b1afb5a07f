// The orientation that cameras write into JPEG files.
#ifndef IJEPA_WORKER_JEPA_DATA_EXIF_H_
#define IJEPA_WORKER_JEPA_DATA_EXIF_H_

#include "absl/strings/string_view.h"
#include "worker/jepa/data/image.h"

namespace jepa {

// The EXIF orientation of a JPEG file, 1 to 8; 1 (upright) where there is none or it is damaged.
// Differs from Pillow: XMP and the EXIF of PNG are not looked at.
int ExifOrientation(absl::string_view jpeg);

// The image as it is to be looked at, as Pillow's ImageOps.exif_transpose.
Image Oriented(Image image, int orientation);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_EXIF_H_
