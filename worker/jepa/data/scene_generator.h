// Rendered scenes with exact labels: a few lit solids of different shape, colour, size and depth on
// a plane. The demo's data.
#ifndef IJEPA_WORKER_JEPA_DATA_SCENE_GENERATOR_H_
#define IJEPA_WORKER_JEPA_DATA_SCENE_GENERATOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/jepa/data/image.h"

namespace jepa {

enum class SolidShape { kSphere, kCube, kCylinder, kCone };

// What is in a scene.
struct SceneLabels {
  SolidShape nearest_shape = SolidShape::kSphere;  // Column "class".
  int count = 0;                                   // Solids, 1 to 5. Column "count".
  double nearest_depth =
      0;  // Distance from the camera to the nearest solid's centre, metres. Column "depth".
};

struct Scene {
  Image image;
  SceneLabels labels;
};

// Scene `index` of the set `seed`: the same pixels on every machine of the same floating point.
// size >= 16 pixels.
Scene RenderScene(uint64_t seed, int64_t index, int size);

// Writes scenes [0, count) as folder/images/NNNNNN.jpg (quality 92) and folder/labels.csv
// (path,class,count,depth), all or nothing. Does nothing if the folder already holds the same set.
absl::Status WriteSceneSet(const std::string& folder, uint64_t seed, int64_t count, int size);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SCENE_GENERATOR_H_
