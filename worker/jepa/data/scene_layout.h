// What is in a scene and where: drawn so that every solid stands free and is mostly seen.
#ifndef IJEPA_WORKER_JEPA_DATA_SCENE_LAYOUT_H_
#define IJEPA_WORKER_JEPA_DATA_SCENE_LAYOUT_H_

#include <cstdint>

#include "worker/jepa/data/ray_caster.h"
#include "worker/jepa/data/scene_generator.h"

namespace jepa {

struct SceneLayout {
  World world;
  SceneLabels labels;
};

// Scene `index` of the set `seed`.
SceneLayout DrawSceneLayout(uint64_t seed, int64_t index);

// Where a solid is in the picture: centre and radius of its bounding circle, in half widths.
struct Outline {
  float u = 0, v = 0;
  float radius = 0;
};
Outline OutlineOf(const Solid& solid, const Camera& camera);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SCENE_LAYOUT_H_
