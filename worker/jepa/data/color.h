// The colour distortions and the blur of the published `data` options, with the arithmetic of
// torchvision on Pillow images, to the grey level.
#ifndef IJEPA_WORKER_JEPA_DATA_COLOR_H_
#define IJEPA_WORKER_JEPA_DATA_COLOR_H_

#include "worker/jepa/data/image.h"

namespace jepa {

// factor >= 0; 1 changes nothing, 0 gives black, the mean grey, or the grey image.
void AdjustBrightness(float factor, Image& image);
void AdjustContrast(float factor, Image& image);
void AdjustSaturation(float factor, Image& image);

// Turns the hue by `turn` of the circle, in [-0.5, 0.5], in steps of 1/256.
void AdjustHue(double turn, Image& image);

// Luma (ITU-R 601) in all three channels.
void ToGrey(Image& image);

// Gaussian of standard deviation `radius` pixels, as three box blurs of fractional width
// (Gwosdek et al., SSVM 2011). radius >= 0.
void GaussianBlur(float radius, Image& image);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_COLOR_H_
