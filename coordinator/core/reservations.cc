// See reservations.h.
#include "coordinator/core/reservations.h"

#include <algorithm>
#include <optional>

namespace ijepa::coordinator {
namespace {

// Free slots of the parts of a level, counted where they are asked for. Of parts that hold a gang
// of `size` when all of it is free.
class FreeByPart {
 public:
  FreeByPart(const ClusterIndex& cluster, const Selection& selection, v1::TopologyLevel level,
             int size)
      : cluster_(cluster),
        selection_(selection),
        level_(level),
        size_(size),
        free_(cluster.PartNumbers(level) + 1, kUnknown) {}

  bool HoldsAll(int part) { return Of(part) != kTooSmall; }

  int64_t& Of(int part) {
    // The whole cluster is part -1.
    int64_t& free = free_[static_cast<size_t>(part + 1)];
    if (free == kUnknown) {
      const Totals totals = cluster_.Count(Scope{selection_, level_, part});
      free = totals.slots < size_ ? kTooSmall : totals.free;
    }
    return free;
  }

 private:
  static constexpr int64_t kUnknown = -1;
  static constexpr int64_t kTooSmall = -2;

  const ClusterIndex& cluster_;
  const Selection selection_;
  const v1::TopologyLevel level_;
  const int size_;
  std::vector<int64_t> free_;
};

}  // namespace

bool Reservations::MayBypass(const Reservation& reservation) const {
  if (reservation.strict || reservation.time != absl::InfiniteDuration()) return false;
  const auto now = times_.find(reservation.id);
  const int times = view_.bypassed(reservation.id) + (now == times_.end() ? 0 : now->second);
  return times < view_.rules.max_bypass;
}

Reservations::Way Reservations::WayPast(const QueuedJob& like, const Reservation& reservation,
                                        int inside) const {
  if (inside <= reservation.extra) return Way::kSpare;
  // Without a limit it never ends in time; without a known start there is no time to end in.
  if (like.time_left != absl::InfiniteDuration() && reservation.time != absl::InfiniteDuration() &&
      view_.now + like.time_left <= reservation.time) {
    return Way::kInTime;
  }
  return MayBypass(reservation) ? Way::kBypass : Way::kNone;
}

bool Reservations::Admit(const QueuedJob& like, const std::vector<Piece>& pieces) {
  std::vector<int> inside;
  for (const Reservation& reservation : all_) {
    inside.push_back(view_.cluster.SlotsIn(reservation.scope, pieces));
    if (inside.back() > 0 && WayPast(like, reservation, inside.back()) == Way::kNone) return false;
  }
  for (size_t i = 0; i < all_.size(); ++i) {
    if (inside[i] == 0) continue;
    const Way way = WayPast(like, all_[i], inside[i]);
    if (way == Way::kSpare) all_[i].extra -= inside[i];
    if (way != Way::kBypass) continue;
    ++times_[all_[i].id];
    bypassed_.push_back(all_[i].id);
  }
  return true;
}

const Scope* Reservations::PartKept(const Selection& selection) const {
  for (const Reservation& reservation : all_) {
    const Scope& scope = reservation.scope;
    if (scope.selection.pool != selection.pool) continue;
    if (scope.part >= 0 || (scope.selection.bf16 && !selection.bf16)) return &scope;
  }
  return nullptr;
}

Reservation* Reservations::Reserve(const QueuedJob& like, const std::string& id,
                                   const Selection& selection) {
  for (const Reservation& other : all_) {
    if (other.scope.selection.pool == selection.pool) return nullptr;
  }
  const std::optional<int> freest =
      view_.cluster.FreestPart(selection, like.required, like.sizes.back());
  if (!freest.has_value()) return nullptr;
  Reservation& reservation = all_.emplace_back();
  reservation.id = id;
  reservation.like = &like;
  reservation.scope = {selection, like.required, -1};
  FindStart(*freest, reservation);
  return &reservation;
}

// Lets gangs end in order of their ends until one part of the level has enough.
void Reservations::FindStart(int freest, Reservation& reservation) const {
  const ClusterIndex& cluster = view_.cluster;
  const int size = reservation.like->sizes.back();
  const Selection& selection = reservation.scope.selection;
  const v1::TopologyLevel level = reservation.scope.level;
  int best = freest;
  FreeByPart free(cluster, selection, level, size);
  for (const auto& [at, gang] : view_.running.ends()) {
    const absl::Duration end = at.first;
    for (const NodeSlots& place : gang->places) {
      if (!cluster.Has(selection, place.node)) continue;
      const int part = cluster.PartNumber(level, place.node);
      if (!free.HoldsAll(part)) continue;
      free.Of(part) += place.slots;
      if (free.Of(part) > free.Of(best)) best = part;
      if (free.Of(part) >= size && reservation.time == absl::InfiniteDuration()) {
        reservation.scope.part = part;
        reservation.time = std::max(end, view_.now);
      }
    }
    if (reservation.time == absl::InfiniteDuration()) continue;
    // Others that end at the same moment leave more.
    if (end > reservation.time) break;
    reservation.extra = free.Of(reservation.scope.part) - size;
  }
  if (reservation.time == absl::InfiniteDuration()) reservation.scope.part = best;
}

std::vector<std::string> Reservations::Holders(size_t most) const {
  std::vector<std::string> ids;
  for (const Reservation& reservation : all_) {
    const bool is_new = std::find(ids.begin(), ids.end(), reservation.id) == ids.end();
    if (is_new && ids.size() < most) ids.push_back(reservation.id);
  }
  return ids;
}

}  // namespace ijepa::coordinator
