// See cluster_index.h.
#include "coordinator/core/cluster_index.h"

#include <algorithm>
#include <iterator>

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
  ++layout_;
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
  ++layout_;
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

int ClusterIndex::NumberOf(const std::string& node) const {
  const auto found = ids_.find(node);
  return found == ids_.end() ? -1 : found->second;
}

bool ClusterIndex::Has(const Selection& selection, int number) const {
  return Contains({selection, v1::TOPOLOGY_LEVEL_CLUSTER, -1}, entries_[number]);
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
  const int number = NumberOf(node);
  return number < 0 ? -1 : PartNumber(level, number);
}

int ClusterIndex::PartNumber(v1::TopologyLevel level, int number) const {
  if (level == v1::TOPOLOGY_LEVEL_CLUSTER) return -1;
  if (level == v1::TOPOLOGY_LEVEL_NODE) return number;
  return entries_[number].parts[LevelNumber(level)];
}

size_t ClusterIndex::PartNumbers(v1::TopologyLevel level) const {
  if (level == v1::TOPOLOGY_LEVEL_CLUSTER) return 0;
  if (level == v1::TOPOLOGY_LEVEL_NODE) return entries_.size();
  return levels_[LevelNumber(level)].parts.size();
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

const ClusterIndex::Order* ClusterIndex::OrderOf(const Selection& selection,
                                                 v1::TopologyLevel level) const {
  if (level == v1::TOPOLOGY_LEVEL_CLUSTER) return nullptr;
  if (level == v1::TOPOLOGY_LEVEL_NODE) return &by_free_[Number(selection)];
  return &levels_[LevelNumber(level)].by_free[Number(selection)];
}

std::vector<Scope> ClusterIndex::Parts(const Selection& selection, v1::TopologyLevel level) const {
  const Order* order = OrderOf(selection, level);
  if (order == nullptr) return {{selection, level, -1}};
  std::vector<Scope> scopes;
  for (const uint64_t word : *order) scopes.push_back({selection, level, NumberIn(word)});
  return scopes;
}

std::vector<Scope> ClusterIndex::FreestParts(const Selection& selection, v1::TopologyLevel level,
                                             int64_t size, size_t most) const {
  const Order* order = OrderOf(selection, level);
  std::vector<Scope> scopes;
  if (order == nullptr) {
    if (Count(selection).slots >= size && most > 0) scopes.push_back({selection, level, -1});
    return scopes;
  }
  for (auto word = order->rbegin(); word != order->rend() && scopes.size() < most; ++word) {
    const Scope scope{selection, level, NumberIn(*word)};
    if (Count(scope).slots >= size) scopes.push_back(scope);
  }
  return scopes;
}

std::optional<int> ClusterIndex::FreestPart(const Selection& selection, v1::TopologyLevel level,
                                            int64_t size) const {
  const std::vector<Scope> freest = FreestParts(selection, level, size, 1);
  if (freest.empty()) return std::nullopt;
  const Order* order = OrderOf(selection, level);
  if (order == nullptr) return -1;
  // The first of those with as many free slots that is large enough: at the latest the one found.
  auto word = order->lower_bound(Word(Count(freest[0]).free, 0));
  while (Count(Scope{selection, level, NumberIn(*word)}).slots < size) ++word;
  return NumberIn(*word);
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
  if (level == v1::TOPOLOGY_LEVEL_NODE) return PlaceOnOne(selection, size, nullptr);
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
  return PlaceAnywhere(selection, size, nullptr);
}

std::optional<std::vector<Piece>> ClusterIndex::PlaceOnOne(int selection, int size,
                                                           const Scope* without) const {
  const Order& order = by_free_[selection];
  // Nodes with as many free slots follow one another; of them the last, as Fill does.
  for (auto run = order.lower_bound(Word(size, 0)); run != order.end();) {
    const auto end = order.lower_bound(Word(Open(entries_[NumberIn(*run)].view) + 1, 0));
    for (auto it = end; it != run;) {
      const Entry& entry = entries_[NumberIn(*--it)];
      if (without != nullptr && Contains(*without, entry)) continue;
      return std::vector<Piece>{{entry.view.name, size}};
    }
    run = end;
  }
  return std::nullopt;
}

std::optional<std::vector<Piece>> ClusterIndex::PlaceAnywhere(int selection, int size,
                                                              const Scope* without) const {
  if (auto piece = PlaceOnOne(selection, size, without)) return piece;
  const Order& order = by_free_[selection];
  std::vector<Piece> pieces;
  for (auto end = order.end(); size > 0 && end != order.begin();) {
    const int open = Open(entries_[NumberIn(*std::prev(end))].view);
    if (open == 0) break;
    const auto run = order.lower_bound(Word(open, 0));
    for (auto it = run; size > 0 && it != end; ++it) {
      const Entry& entry = entries_[NumberIn(*it)];
      if (without != nullptr && Contains(*without, entry)) continue;
      pieces.push_back({entry.view.name, std::min(open, size)});
      size -= pieces.back().slots;
    }
    end = run;
  }
  if (size > 0) return std::nullopt;
  return pieces;
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
  return PlaceAnywhere(Number(selection), size, &without);
}

}  // namespace ijepa::coordinator
