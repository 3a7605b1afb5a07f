// Rays against four kinds of solids on a plane, with one far light, shadows and a sky.
#ifndef IJEPA_WORKER_JEPA_DATA_RAY_CASTER_H_
#define IJEPA_WORKER_JEPA_DATA_RAY_CASTER_H_

#include <cmath>
#include <vector>

#include "worker/jepa/data/image.h"
#include "worker/jepa/data/scene_generator.h"

namespace jepa {

// Metres; y is up and the plane is y = 0. Also colours, 1 being full.
struct Vec3 {
  float x = 0, y = 0, z = 0;

  Vec3 operator+(Vec3 o) const { return {x + o.x, y + o.y, z + o.z}; }
  Vec3 operator-(Vec3 o) const { return {x - o.x, y - o.y, z - o.z}; }
  Vec3 operator*(float s) const { return {x * s, y * s, z * s}; }
  Vec3 operator*(Vec3 o) const { return {x * o.x, y * o.y, z * o.z}; }
};
inline float Dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 Cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline Vec3 Normalised(Vec3 v) { return v * (1.0f / std::sqrt(Dot(v, v))); }
inline Vec3 Mix(Vec3 a, Vec3 b, float share) { return a + (b - a) * share; }

// A solid that stands on the plane at (x, z).
struct Solid {
  SolidShape shape = SolidShape::kSphere;
  float x = 0, z = 0;
  float radius = 1;  // Half the edge of a cube.
  float height = 2;
  float cos_turn = 1, sin_turn = 0;  // About the vertical.
  Vec3 colour;

  Vec3 centre() const { return {x, height / 2, z}; }
  // Of the smallest circle and sphere about the centre that hold it.
  float footprint() const;
  float bound() const;
};

struct Camera {
  Vec3 position;
  Vec3 forward, right, up;  // Orthonormal.
  float zoom = 1;           // Distance of an image plane whose half width is 1.
};

// A soft checker of two colours.
struct Floor {
  Vec3 colours[2];
  float tile = 1;  // Metres.
  float cos_turn = 1, sin_turn = 0;
};

struct World {
  std::vector<Solid> solids;
  Camera camera;
  Floor floor;
  Vec3 to_light;  // Unit.
  Vec3 horizon, zenith;
};

// A square picture of `size` pixels, four rays per pixel.
Image Render(const World& world, int size);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_RAY_CASTER_H_
