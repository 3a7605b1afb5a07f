// See cluster_index.h.
#include "coordinator/core/cluster_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

constexpr uint64_t kNumberMask = 0xffffffff;

int NumberIn(uint64_t word) { return static_cast<int>(word & kNumberMask); }

// Free slots that count: of a node that may be given ranks.
int Open(const NodeView& view) { return view.usable ? std::max(0, view.free) : 0; }

// A part is named by all that is around it; a node that says nothing of a level is a part of it.
std::string PartName(int level, const NodeView& view) {
  const std::string* labels[] = {&view.island, &view.rack, &view.block};
  if (labels[level]->empty()) return absl::StrCat("node/", view.name);
  std::string name;
  for (int around = 2; around >= level; --around) absl::StrAppend(&name, "/", *labels[around]);
  return name;
}

}  // namespace

int ClusterIndex::PartOf(int level, const NodeView& view) {
  Level& all = levels_[level];
  const auto [found, is_new] =
      all.ids.try_emplace(PartName(level, view), static_cast<int>(all.parts.size()));
  if (is_new) all.parts.emplace_back();
  return found->second;
}

void ClusterIndex::CountPart(Level& level, int part, int selection, const NodeView& view,
                             int sign) {
  Totals& totals = level.parts[part].totals[selection];
  if (totals.nodes > 0) level.by_free[selection].erase(Word(totals.free, part));
  totals.nodes += sign;
  totals.slots += sign * view.slots;
  totals.free += sign * Open(view);
  if (totals.nodes > 0) level.by_free[selection].insert(Word(totals.free, part));
}

void ClusterIndex::Count(int id, int sign) {
  const Entry& entry = entries_[id];
  const NodeView& view = entry.view;
  const Pool pool = view.gpu ? kGpu : kCpu;
  for (const bool bf16 : {false, true}) {
    if (bf16 && !view.cpu_bf16) continue;
    const int selection = Number({pool, bf16});
    totals_[selection].nodes += sign;
    totals_[selection].slots += sign * view.slots;
    totals_[selection].free += sign * Open(view);
    if (sign > 0) {
      by_free_[selection].insert(Word(Open(view), id));
    } else {
      by_free_[selection].erase(Word(Open(view), id));
    }
    for (int level = 0; level < kPartLevels; ++level) {
      CountPart(levels_[level], entry.parts[level], selection, view, sign);
    }
  }
}

void ClusterIndex::Update(const NodeView& view) {
  auto found = ids_.find(view.name);
  if (found != ids_.end()) {
    Entry& entry = entries_[found->second];
    if (entry.view == view) return;
    const bool moved = entry.view.island != view.island || entry.view.rack != view.rack ||
                       entry.view.block != view.block;
    if (entry.view.slots != view.slots || entry.view.gpu != view.gpu ||
        entry.view.cpu_bf16 != view.cpu_bf16) {
      largest_.clear();
    }
    if (!moved) {
      Count(found->second, -1);
      entry.view = view;
      Count(found->second, 1);
      return;
    }
    Remove(view.name);
  }
  largest_.clear();
  int id = static_cast<int>(entries_.size());
  if (unused_.empty()) {
    entries_.emplace_back();
  } else {
    id = unused_.back();
    unused_.pop_back();
  }
  ids_[view.name] = id;
  Entry& entry = entries_[id];
  entry.view = view;
  entry.there = true;
  for (int level = 0; level < kPartLevels; ++level) {
    entry.parts[level] = PartOf(level, view);
    levels_[level].parts[entry.parts[level]].members.push_back(id);
  }
  Count(id, 1);
}

void ClusterIndex::Remove(const std::string& node) {
  const auto found = ids_.find(node);
  if (found == ids_.end()) return;
  largest_.clear();
  const int id = found->second;
  Count(id, -1);
  Entry& entry = entries_[id];
  for (int level = 0; level < kPartLevels; ++level) {
    std::erase(levels_[level].parts[entry.parts[level]].members, id);
  }
  entry = {};
  unused_.push_back(id);
  ids_.erase(found);
}

void ClusterIndex::Take(const std::vector<Piece>& pieces, int sign) {
  for (const Piece& piece : pieces) {
    const auto found = ids_.find(piece.node);
    if (found == ids_.end()) continue;
    Count(found->second, -1);
    entries_[found->second].view.free -= sign * piece.slots;
    Count(found->second, 1);
  }
}

const NodeView* ClusterIndex::Find(const std::string& node) const {
  const auto found = ids_.find(node);
  return found == ids_.end() ? nullptr : &entries_[found->second].view;
}

Totals ClusterIndex::Count(const Selection& selection) const { return totals_[Number(selection)]; }

Totals ClusterIndex::Count(const Scope& scope) const {
  if (scope.level == v1::TOPOLOGY_LEVEL_CLUSTER) return Count(scope.selection);
  if (scope.level == v1::TOPOLOGY_LEVEL_NODE) {
    const NodeView& view = entries_[scope.part].view;
    return {1, view.slots, Open(view)};
  }
  return levels_[LevelNumber(scope.level)].parts[scope.part].totals[Number(scope.selection)];
}

bool ClusterIndex::Contains(const Scope& scope, const Entry& entry) const {
  if (!entry.there || entry.view.gpu != (scope.selection.pool == kGpu)) return false;
  if (scope.selection.bf16 && !entry.view.cpu_bf16) return false;
  if (scope.level == v1::TOPOLOGY_LEVEL_CLUSTER) return true;
  if (scope.level == v1::TOPOLOGY_LEVEL_NODE) return &entry == &entries_[scope.part];
  return entry.parts[LevelNumber(scope.level)] == scope.part;
}

int ClusterIndex::PartNumber(v1::TopologyLevel level, const std::string& node) const {
  const auto found = ids_.find(node);
  if (found == ids_.end() || level == v1::TOPOLOGY_LEVEL_CLUSTER) return -1;
  if (level == v1::TOPOLOGY_LEVEL_NODE) return found->second;
  return entries_[found->second].parts[LevelNumber(level)];
}

int ClusterIndex::SlotsIn(const Scope& scope, const std::vector<Piece>& pieces) const {
  int slots = 0;
  for (const Piece& piece : pieces) {
    const auto found = ids_.find(piece.node);
    if (found != ids_.end() && Contains(scope, entries_[found->second])) slots += piece.slots;
  }
  return slots;
}

int64_t ClusterIndex::LargestPart(const Selection& selection, v1::TopologyLevel level) const {
  const auto [found, is_new] = largest_.try_emplace({level, Number(selection)}, 0);
  if (!is_new) return found->second;
  for (const Scope& part : Parts(selection, level)) {
    found->second = std::max(found->second, Count(part).slots);
  }
  return found->second;
}

std::vector<Scope> ClusterIndex::Parts(const Selection& selection, v1::TopologyLevel level) const {
  std::vector<Scope> scopes;
  if (level == v1::TOPOLOGY_LEVEL_CLUSTER) return {{selection, level, -1}};
  const Order& order = level == v1::TOPOLOGY_LEVEL_NODE
                           ? by_free_[Number(selection)]
                           : levels_[LevelNumber(level)].by_free[Number(selection)];
  for (const uint64_t word : order) scopes.push_back({selection, level, NumberIn(word)});
  return scopes;
}

std::vector<Piece> ClusterIndex::Fill(std::vector<int> nodes, int size) const {
  std::erase_if(nodes, [&](int id) { return Open(entries_[id].view) == 0; });
  std::sort(nodes.begin(), nodes.end(), [&](int a, int b) {
    return std::pair(-Open(entries_[a].view), a) < std::pair(-Open(entries_[b].view), b);
  });
  // They fall by free slots: the last that holds all is the tightest.
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    if (Open(entries_[*it].view) < size) continue;
    std::swap(*it, nodes.front());
    break;
  }
  std::vector<Piece> pieces;
  for (const int id : nodes) {
    if (size == 0) break;
    const int taken = std::min(Open(entries_[id].view), size);
    pieces.push_back({entries_[id].view.name, taken});
    size -= taken;
  }
  return pieces;
}

std::optional<std::vector<Piece>> ClusterIndex::PlaceWithin(int selection, int size,
                                                            v1::TopologyLevel level) const {
  if (level == v1::TOPOLOGY_LEVEL_NODE) {
    const Order& order = by_free_[selection];
    auto tightest = order.lower_bound(Word(size, 0));
    if (tightest == order.end()) return std::nullopt;
    // Of equals the last, as Fill does.
    tightest = std::prev(order.lower_bound(Word(Open(entries_[NumberIn(*tightest)].view) + 1, 0)));
    return std::vector<Piece>{{entries_[NumberIn(*tightest)].view.name, size}};
  }
  if (level != v1::TOPOLOGY_LEVEL_CLUSTER) {
    const Level& parts = levels_[LevelNumber(level)];
    const auto tightest = parts.by_free[selection].lower_bound(Word(size, 0));
    if (tightest == parts.by_free[selection].end()) return std::nullopt;
    std::vector<int> nodes = parts.parts[NumberIn(*tightest)].members;
    std::erase_if(nodes, [&](int id) {
      return by_free_[selection].count(Word(Open(entries_[id].view), id)) == 0;
    });
    return Fill(std::move(nodes), size);
  }
  if (totals_[selection].free < size) return std::nullopt;
  // From the emptiest on; at equal free slots the lower number first.
  std::vector<int> nodes;
  int64_t found = 0;
  for (auto it = by_free_[selection].rbegin(); found < size; ++it) {
    nodes.push_back(NumberIn(*it));
    found += Open(entries_[nodes.back()].view);
    // All with as many: the order among them is Fill's.
    const int last = Open(entries_[nodes.back()].view);
    for (auto next = std::next(it);
         found >= size && next != by_free_[selection].rend() &&
         Open(entries_[NumberIn(*next)].view) == last && nodes.size() < entries_.size();
         ++next) {
      nodes.push_back(NumberIn(*next));
    }
  }
  return Fill(std::move(nodes), size);
}

std::optional<std::vector<Piece>> ClusterIndex::Place(const Selection& selection, int size,
                                                      v1::TopologyLevel preferred,
                                                      v1::TopologyLevel required) const {
  const int number = Number(selection);
  if (totals_[number].free < size) return std::nullopt;
  for (int level = preferred; level <= required; ++level) {
    auto pieces = PlaceWithin(number, size, static_cast<v1::TopologyLevel>(level));
    if (pieces.has_value()) return pieces;
  }
  return std::nullopt;
}

std::optional<std::vector<Piece>> ClusterIndex::PlaceOutside(const Selection& selection, int size,
                                                             const Scope& without) const {
  // The nodes are looked through only where enough is free.
  const int64_t kept = without.selection == selection ? Count(without).free : 0;
  if (Count(selection).free - kept < size) return std::nullopt;
  std::vector<int> nodes;
  int64_t free = 0;
  for (const uint64_t word : by_free_[Number(selection)]) {
    const int id = NumberIn(word);
    if (Contains(without, entries_[id])) continue;
    nodes.push_back(id);
    free += Open(entries_[id].view);
  }
  if (free < size) return std::nullopt;
  return Fill(std::move(nodes), size);
}

}  // namespace ijepa::coordinator
