// A look at every image of a source: which are bad, and what the rest is like.
#ifndef IJEPA_WORKER_JEPA_DATA_SURVEY_H_
#define IJEPA_WORKER_JEPA_DATA_SURVEY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

struct BadFile {
  int64_t index = 0;  // In the source.
  BadReason reason = BadReason::kCorrupt;
  std::string message;
};

// The same for any number of threads.
struct Survey {
  int64_t images = 0;  // That decode whole.
  int64_t bytes = 0;   // Of their files.
  std::vector<BadFile> bad;
  int min_side = 0;
  int max_side = 0;
  double mean_pixels = 0;  // Per image.
  // Of values in [0, 1] over all pixels, by channel.
  std::vector<double> mean;
  std::vector<double> deviation;
};

struct SurveyOptions {
  int threads = 1;  // In [1, 64].
  std::function<void(int64_t)>
      on_progress;     // Images looked at; from the calling thread. May be null.
  PixelFormat format;  // What images are read as.
};

// Reads and decodes every image of `source` whole. Blocks; owns its threads.
Survey SurveyImages(const ImageSource& source, const SurveyOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SURVEY_H_
