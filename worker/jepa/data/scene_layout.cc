// Draws by rejection; every bound on tries ends with fewer solids, never without an answer.
#include "worker/jepa/data/scene_layout.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

constexpr uint32_t kMaxSolids = 5;
constexpr uint32_t kShapes = 4;
constexpr int kTriesPerSolid = 100;
constexpr int kTriesPerScene = 40;
constexpr double kPi = 3.14159265358979323846;

constexpr Range kDepth{3.0, 12.0};  // Camera to centre, metres.
// Radius of a solid's bounding sphere, metres: one law for all shapes, so that none fits better.
constexpr Range kBound{0.65, 1.2};
constexpr Range kCameraHeight{1.9, 2.9};  // Metres.
constexpr Range kPitchDown{0.14, 0.24};   // Radians.
constexpr Range kRoll{-0.04, 0.04};       // Radians.
constexpr Range kBearing{-0.5, 0.5};      // Of solids, radians.
constexpr Range kLightHeight{0.6, 1.15};  // Radians above the horizon.
constexpr Range kZoom{1.9, 2.2};
constexpr float kDepthApart = 0.2f;      // Metres between the depths of two solids.
constexpr float kGroundApart = 0.15f;    // Metres between footprints.
constexpr float kOutlinesApart = 0.75f;  // Of the sum of two outlines' radii.
constexpr float kInPicture = 0.97f;      // Half widths.

float Draw(Range range, Philox& random) {
  return static_cast<float>(random.Uniform(range.low, range.high));
}

// A colour of the wheel; hue in [0, 6).
Vec3 WheelColour(double hue, double saturation, double value) {
  const auto channel = [&](double offset) {
    const double place = std::fmod(hue + offset, 6.0);
    const double full = std::clamp(std::abs(place - 3.0) - 1.0, 0.0, 1.0);
    return static_cast<float>(value * (1 - saturation * (1 - full)));
  };
  return {channel(0), channel(4), channel(2)};
}

Camera DrawCamera(Philox& random) {
  Camera camera;
  camera.position = {0, Draw(kCameraHeight, random), 0};
  const float pitch = Draw(kPitchDown, random);
  const float roll = Draw(kRoll, random);
  camera.zoom = Draw(kZoom, random);
  camera.forward = {0, -std::sin(pitch), std::cos(pitch)};
  const Vec3 level{1, 0, 0};
  const Vec3 upright = Cross(camera.forward, level);
  camera.right = level * std::cos(roll) + upright * std::sin(roll);
  camera.up = upright * std::cos(roll) - level * std::sin(roll);
  return camera;
}

void DrawSurroundings(Philox& random, World& world) {
  const double turn = random.Uniform(0, 2 * kPi);
  world.floor.cos_turn = static_cast<float>(std::cos(turn));
  world.floor.sin_turn = static_cast<float>(std::sin(turn));
  world.floor.tile = Draw({0.9, 2.0}, random);
  const double hue = random.Uniform(0, 6);
  const double value = random.Uniform(0.45, 0.8);
  const double contrast = random.Uniform(0.08, 0.2);
  world.floor.colours[0] = WheelColour(hue, random.Uniform(0.0, 0.25), value + contrast);
  world.floor.colours[1] = WheelColour(hue, random.Uniform(0.0, 0.35), value - contrast);
  const double sky = random.Uniform(2.7, 4.0);
  world.horizon = WheelColour(sky, random.Uniform(0.02, 0.15), random.Uniform(0.75, 0.95));
  world.zenith = WheelColour(sky, random.Uniform(0.2, 0.5), random.Uniform(0.55, 0.85));
  const double height = random.Uniform(kLightHeight.low, kLightHeight.high);
  const double bearing = random.Uniform(0, 2 * kPi);
  world.to_light = {static_cast<float>(std::cos(height) * std::sin(bearing)),
                    static_cast<float>(std::sin(height)),
                    static_cast<float>(std::cos(height) * std::cos(bearing))};
}

float DepthOf(const Solid& solid, const Camera& camera) {
  const Vec3 away = solid.centre() - camera.position;
  return std::sqrt(Dot(away, away));
}

// A solid whose bounding sphere has the radius `bound`.
Solid MakeSolid(SolidShape shape, float bound, Philox& random) {
  Solid solid;
  solid.shape = shape;
  // Height in radii; a cube's radius is half its edge.
  float tall = 2;
  if (shape == SolidShape::kCylinder) tall = Draw({1.5, 2.3}, random);
  if (shape == SolidShape::kCone) tall = Draw({1.9, 2.6}, random);
  solid.radius = 1;
  solid.height = tall;
  solid.radius = bound / solid.bound();
  solid.height = tall * solid.radius;
  return solid;
}

Solid DrawSolid(SolidShape shape, const Camera& camera, Philox& random) {
  Solid solid = MakeSolid(shape, Draw(kBound, random), random);
  const double turn = random.Uniform(0, 2 * kPi);
  solid.cos_turn = static_cast<float>(std::cos(turn));
  solid.sin_turn = static_cast<float>(std::sin(turn));
  const float depth = Draw(kDepth, random);
  const double bearing = random.Uniform(kBearing.low, kBearing.high);
  const float drop = camera.position.y - solid.height / 2;
  const float ground = std::sqrt(std::max(depth * depth - drop * drop, 0.0f));
  solid.x = ground * static_cast<float>(std::sin(bearing));
  solid.z = ground * static_cast<float>(std::cos(bearing));
  solid.colour =
      WheelColour(random.Uniform(0, 6), random.Uniform(0.55, 0.95), random.Uniform(0.55, 1.0));
  return solid;
}

bool StandsFree(const Solid& solid, const World& world) {
  const Outline outline = OutlineOf(solid, world.camera);
  if (std::max(std::abs(outline.u), std::abs(outline.v)) + outline.radius > kInPicture) {
    return false;
  }
  for (const Solid& other : world.solids) {
    const float ground = std::hypot(solid.x - other.x, solid.z - other.z);
    if (ground < solid.footprint() + other.footprint() + kGroundApart) return false;
    const float depths = DepthOf(solid, world.camera) - DepthOf(other, world.camera);
    if (std::abs(depths) < kDepthApart) return false;
    const Outline seen = OutlineOf(other, world.camera);
    const float apart = std::hypot(outline.u - seen.u, outline.v - seen.v);
    if (apart < kOutlinesApart * (outline.radius + seen.radius)) return false;
  }
  return true;
}

bool AddSolid(SolidShape shape, Philox& random, World& world) {
  for (int i = 0; i < kTriesPerSolid; ++i) {
    const Solid solid = DrawSolid(shape, world.camera, random);
    if (!StandsFree(solid, world)) continue;
    world.solids.push_back(solid);
    return true;
  }
  return false;
}

void DrawSolids(Philox& random, World& world) {
  // Shapes before places: a shape that is hard to place is not drawn less often.
  std::vector<SolidShape> shapes(1 + random.Below(kMaxSolids));
  for (SolidShape& shape : shapes) shape = static_cast<SolidShape>(random.Below(kShapes));
  std::vector<Solid> most;
  for (int i = 0; i < kTriesPerScene && most.size() < shapes.size(); ++i) {
    world.solids.clear();
    for (SolidShape shape : shapes) {
      if (!AddSolid(shape, random, world)) break;
    }
    if (world.solids.size() > most.size()) most = world.solids;
  }
  world.solids = std::move(most);
}

}  // namespace

Outline OutlineOf(const Solid& solid, const Camera& camera) {
  const Vec3 away = solid.centre() - camera.position;
  const float forward = std::max(Dot(away, camera.forward), 1e-3f);
  const float scale = camera.zoom / forward;
  return {Dot(away, camera.right) * scale, Dot(away, camera.up) * scale, solid.bound() * scale};
}

SceneLayout DrawSceneLayout(uint64_t seed, int64_t index) {
  Philox random(seed, Purpose::kScene, static_cast<uint64_t>(index), 0);
  SceneLayout layout;
  World& world = layout.world;
  world.camera = DrawCamera(random);
  DrawSurroundings(random, world);
  DrawSolids(random, world);
  layout.labels.count = static_cast<int>(world.solids.size());
  layout.labels.nearest_depth = kDepth.high + 1;
  for (const Solid& solid : world.solids) {
    const double depth = DepthOf(solid, world.camera);
    if (depth >= layout.labels.nearest_depth) continue;
    layout.labels.nearest_depth = depth;
    layout.labels.nearest_shape = solid.shape;
  }
  return layout;
}

}  // namespace jepa
