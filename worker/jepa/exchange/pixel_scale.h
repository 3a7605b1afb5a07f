// How pixels are normalised, as texts among the values of a checkpoint: what a run trained with
// goes with its weights.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_PIXEL_SCALE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_PIXEL_SCALE_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"

namespace jepa {

// Keys: bits of a channel, and numbers with commas between, one per channel.
inline constexpr char kBitDepthKey[] = "bit_depth";
inline constexpr char kMeanKey[] = "mean";
inline constexpr char kStdKey[] = "std";

// Exact: reading gives the same numbers again.
void SavePixelScale(const PixelScale& scale, std::map<std::string, std::string>& values);

// What weights that do not say are taken to be trained with: three channels with ImageNet's
// statistics, as published ones are; mean 0 and std 1 for another number of channels.
PixelScale AssumedPixelScale(int channels);

// The assumed scale where the keys are missing. Returns DataLoss for values that are not finite
// numbers, one per channel, stds above 0.
absl::StatusOr<PixelScale> ReadPixelScale(const std::map<std::string, std::string>& values,
                                          int channels);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_PIXEL_SCALE_H_
