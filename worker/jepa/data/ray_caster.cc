// Analytic intersections; Lambert and Blinn-Phong shading.
#include "worker/jepa/data/ray_caster.h"

#include <algorithm>
#include <cstdint>

namespace jepa {
namespace {

constexpr float kFar = 1e9f;
constexpr float kLift = 1e-3f;  // Of shadow rays off their surface, metres.
constexpr float kAmbient = 0.38f;
constexpr float kDiffuse = 0.68f;
constexpr float kGloss = 0.3f;
constexpr float kHaze = 26.0f;  // Metres at which half of the floor is haze.

struct Ray {
  Vec3 origin;
  Vec3 direction;  // Unit.
};

struct Hit {
  float distance = kFar;
  Vec3 normal;
};

// Distance of the first root of a t^2 + 2 b t + c = 0 beyond 0 that `inside` accepts.
template <typename Inside>
bool FirstRoot(float a, float b, float c, const Inside& inside, float& distance) {
  const float discriminant = b * b - a * c;
  if (discriminant < 0 || a == 0) return false;
  const float root = std::sqrt(discriminant);
  float near = (-b - root) / a;
  float far = (-b + root) / a;
  if (near > far) std::swap(near, far);
  for (float t : {near, far}) {
    if (t > 0 && inside(t)) {
      distance = t;
      return true;
    }
  }
  return false;
}

// The functions below take rays in the solid's own frame: its foot is the origin, it is not turned.

bool HitSphere(const Solid& solid, const Ray& ray, Hit& hit) {
  const Vec3 centre{0, solid.radius, 0};
  const Vec3 from = ray.origin - centre;
  const float c = Dot(from, from) - solid.radius * solid.radius;
  const auto anywhere = [](float) { return true; };
  if (!FirstRoot(1, Dot(from, ray.direction), c, anywhere, hit.distance)) return false;
  hit.normal = (from + ray.direction * hit.distance) * (1 / solid.radius);
  return true;
}

bool HitCube(const Solid& solid, const Ray& ray, Hit& hit) {
  const float low[3] = {-solid.radius, 0, -solid.radius};
  const float high[3] = {solid.radius, solid.height, solid.radius};
  const float origin[3] = {ray.origin.x, ray.origin.y, ray.origin.z};
  const float direction[3] = {ray.direction.x, ray.direction.y, ray.direction.z};
  float enter = -kFar, leave = kFar;
  int side = 0;
  for (int i = 0; i < 3; ++i) {
    if (direction[i] == 0) {
      if (origin[i] < low[i] || origin[i] > high[i]) return false;
      continue;
    }
    float a = (low[i] - origin[i]) / direction[i];
    float b = (high[i] - origin[i]) / direction[i];
    if (a > b) std::swap(a, b);
    if (a > enter) {
      enter = a;
      side = i;
    }
    leave = std::min(leave, b);
  }
  if (enter > leave || enter <= 0) return false;
  hit.distance = enter;
  const float sign = direction[side] > 0 ? -1.0f : 1.0f;
  hit.normal = {side == 0 ? sign : 0, side == 1 ? sign : 0, side == 2 ? sign : 0};
  return true;
}

bool HitCylinder(const Solid& solid, const Ray& ray, Hit& hit) {
  const Vec3 o = ray.origin, d = ray.direction;
  bool found = false;
  if (d.y < 0 && o.y > solid.height) {  // The lid, from above.
    const float t = (solid.height - o.y) / d.y;
    const float x = o.x + t * d.x, z = o.z + t * d.z;
    if (x * x + z * z <= solid.radius * solid.radius) {
      hit = {t, {0, 1, 0}};
      found = true;
    }
  }
  const auto in_height = [&](float t) {
    const float y = o.y + t * d.y;
    return y >= 0 && y <= solid.height;
  };
  float t = 0;
  const float c = o.x * o.x + o.z * o.z - solid.radius * solid.radius;
  if (!found && FirstRoot(d.x * d.x + d.z * d.z, o.x * d.x + o.z * d.z, c, in_height, t)) {
    hit = {t, Vec3{o.x + t * d.x, 0, o.z + t * d.z} * (1 / solid.radius)};
    found = true;
  }
  return found;
}

bool HitCone(const Solid& solid, const Ray& ray, Hit& hit) {
  const Vec3 o = ray.origin, d = ray.direction;
  const float slope = solid.radius / solid.height;
  const float k = slope * slope;
  const float below = solid.height - o.y;  // Of the tip.
  const float a = d.x * d.x + d.z * d.z - k * d.y * d.y;
  const float b = o.x * d.x + o.z * d.z + k * below * d.y;
  const float c = o.x * o.x + o.z * o.z - k * below * below;
  const auto in_height = [&](float t) {
    const float y = o.y + t * d.y;
    return y >= 0 && y <= solid.height;
  };
  float t = 0;
  if (!FirstRoot(a, b, c, in_height, t)) return false;
  const float x = o.x + t * d.x, z = o.z + t * d.z;
  hit = {t, Normalised({x, slope * std::sqrt(x * x + z * z) + 1e-6f, z})};
  return true;
}

bool HitSolid(const Solid& solid, const Ray& ray, Hit& hit) {
  const Vec3 to_centre = solid.centre() - ray.origin;
  const float along = Dot(to_centre, ray.direction);
  const float bound = solid.bound();
  if (Dot(to_centre, to_centre) - along * along > bound * bound || along < -bound) return false;
  const float cos = solid.cos_turn, sin = solid.sin_turn;
  const float x = ray.origin.x - solid.x, z = ray.origin.z - solid.z;
  const Vec3 d = ray.direction;
  const Ray local{{cos * x + sin * z, ray.origin.y, cos * z - sin * x},
                  {cos * d.x + sin * d.z, d.y, cos * d.z - sin * d.x}};
  bool found = false;
  switch (solid.shape) {
    case SolidShape::kSphere:
      found = HitSphere(solid, local, hit);
      break;
    case SolidShape::kCube:
      found = HitCube(solid, local, hit);
      break;
    case SolidShape::kCylinder:
      found = HitCylinder(solid, local, hit);
      break;
    case SolidShape::kCone:
      found = HitCone(solid, local, hit);
      break;
  }
  if (!found) return false;
  const Vec3 n = hit.normal;
  hit.normal = {cos * n.x - sin * n.z, n.y, sin * n.x + cos * n.z};
  return true;
}

const Solid* FirstSolid(const World& world, const Ray& ray, Hit& first) {
  const Solid* result = nullptr;
  for (const Solid& solid : world.solids) {
    Hit hit;
    if (HitSolid(solid, ray, hit) && hit.distance < first.distance) {
      first = hit;
      result = &solid;
    }
  }
  return result;
}

bool InShadow(const World& world, Vec3 point, Vec3 normal) {
  const Ray ray{point + normal * kLift, world.to_light};
  Hit hit;
  return std::any_of(world.solids.begin(), world.solids.end(),
                     [&](const Solid& solid) { return HitSolid(solid, ray, hit); });
}

// A wave between -1 and 1 of period 2.
float Triangle(float x) {
  float whole = static_cast<float>(static_cast<int>(x * 0.5f));
  if (whole > x * 0.5f) whole -= 1;
  return 4 * std::abs(x * 0.5f - whole - 0.5f) - 1;
}

Vec3 FloorColour(const Floor& floor, Vec3 point) {
  const float u = (floor.cos_turn * point.x + floor.sin_turn * point.z) / floor.tile;
  const float v = (floor.cos_turn * point.z - floor.sin_turn * point.x) / floor.tile;
  const float checker = std::clamp(3 * Triangle(u) * Triangle(v), -1.0f, 1.0f);
  return Mix(floor.colours[0], floor.colours[1], 0.5f + 0.5f * checker);
}

Vec3 Trace(const World& world, const Ray& ray) {
  Hit hit;
  const Solid* solid = FirstSolid(world, ray, hit);
  if (solid == nullptr) {
    if (ray.direction.y > -1e-3f) {
      return Mix(world.horizon, world.zenith, std::clamp(2 * ray.direction.y, 0.0f, 1.0f));
    }
    hit = {-ray.origin.y / ray.direction.y, {0, 1, 0}};
  }
  const Vec3 point = ray.origin + ray.direction * hit.distance;
  const Vec3 base = solid != nullptr ? solid->colour : FloorColour(world.floor, point);
  const float facing = Dot(hit.normal, world.to_light);
  Vec3 colour = base * kAmbient;
  if (facing > 0 && !InShadow(world, point, hit.normal)) {
    colour = colour + base * (kDiffuse * facing);
    if (solid != nullptr) {
      const float half = Dot(hit.normal, Normalised(world.to_light - ray.direction));
      float shine = std::max(half, 0.0f);
      for (int i = 0; i < 5; ++i) shine *= shine;  // To the power 32.
      colour = colour + Vec3{1, 1, 1} * (kGloss * shine);
    }
  }
  if (solid != nullptr) return colour;
  const float far = hit.distance / kHaze;
  return Mix(colour, world.horizon, 1 - 1 / (1 + far * far));
}

uint8_t ToByte(float value) {
  return static_cast<uint8_t>(std::clamp(value * 255 + 0.5f, 0.0f, 255.0f));
}

}  // namespace

float Solid::footprint() const { return shape == SolidShape::kCube ? radius * 1.41422f : radius; }

float Solid::bound() const {
  if (shape == SolidShape::kSphere) return radius;
  return std::sqrt(footprint() * footprint() + height * height / 4) + 1e-4f;
}

Image Render(const World& world, int size) {
  // Four places in a pixel, no two in one row or column.
  constexpr float kPlaces[4][2] = {
      {0.125f, 0.375f}, {0.375f, 0.875f}, {0.625f, 0.125f}, {0.875f, 0.625f}};
  Image image{size, size, std::vector<uint8_t>(static_cast<size_t>(size) * size * 3)};
  const Camera& camera = world.camera;
  const float scale = 2.0f / static_cast<float>(size);
  uint8_t* out = image.pixels.data();
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x, out += 3) {
      Vec3 sum;
      for (const auto& place : kPlaces) {
        const float u = (static_cast<float>(x) + place[0]) * scale - 1;
        const float v = 1 - (static_cast<float>(y) + place[1]) * scale;
        const Vec3 direction = camera.forward * camera.zoom + camera.right * u + camera.up * v;
        sum = sum + Trace(world, {camera.position, Normalised(direction)});
      }
      out[0] = ToByte(sum.x / 4);
      out[1] = ToByte(sum.y / 4);
      out[2] = ToByte(sum.z / 4);
    }
  }
  return image;
}

}  // namespace jepa
