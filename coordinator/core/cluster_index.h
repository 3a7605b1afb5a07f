// Nodes in the order in which the scheduler asks for them, so that one placement, and one change of
// a node, costs little however many nodes there are. Derived from the state; pure.
#ifndef IJEPA_COORDINATOR_CORE_CLUSTER_INDEX_H_
#define IJEPA_COORDINATOR_CORE_CLUSTER_INDEX_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// A registered node that is not lost.
struct NodeView {
  std::string name;
  int slots = 0;
  int free = 0;
  // Slots are GPUs.
  bool gpu = false;
  // May be given ranks now.
  bool usable = true;
  // The CPU multiplies in bf16.
  bool cpu_bf16 = false;
  // Its labels; empty: it says nothing, and is a part of its own.
  std::string island;
  std::string rack;
  std::string block;

  friend bool operator==(const NodeView&, const NodeView&) = default;
};

// Kinds of slots. A gang never mixes them: its ranks must share a collective library.
enum Pool { kGpu = 0, kCpu = 1 };

// The nodes of a pool; of those with bf16 arithmetic on the CPU alone, where `bf16`.
struct Selection {
  Pool pool = kCpu;
  bool bf16 = false;
  friend bool operator==(const Selection&, const Selection&) = default;
};

struct Totals {
  int nodes = 0;
  int64_t slots = 0;
  // On nodes that may be given ranks.
  int64_t free = 0;
};

// A selection, or a part of it.
struct Scope {
  Selection selection;
  // With `part`: of which level. TOPOLOGY_LEVEL_CLUSTER: all of it.
  v1::TopologyLevel level = v1::TOPOLOGY_LEVEL_CLUSTER;
  int part = -1;
};

// Slots on one node.
struct Piece {
  std::string node;
  int slots = 0;
  friend bool operator==(const Piece&, const Piece&) = default;
};

class ClusterIndex {
 public:
  // Adds the node, or replaces what is known of it.
  void Update(const NodeView& view);
  void Remove(const std::string& node);
  // Changes the free slots of a node; nothing if there is no such node.
  void Take(const std::vector<Piece>& pieces, int sign);

  int nodes() const { return static_cast<int>(ids_.size()); }
  const NodeView* Find(const std::string& node) const;
  // Finding a node by its name is what costs: whoever asks often keeps its number, which holds
  // until the layout changes, because a node came, went or moved to another part.
  uint64_t layout() const { return layout_; }
  // -1 if there is no such node.
  int NumberOf(const std::string& node) const;
  // Whether the node of this number is in the selection.
  bool Has(const Selection& selection, int number) const;
  Totals Count(const Selection& selection) const;
  Totals Count(const Scope& scope) const;
  // Which part of the level the node is in; -1 if there is no such node.
  int PartNumber(v1::TopologyLevel level, const std::string& node) const;
  int PartNumber(v1::TopologyLevel level, int number) const;
  // One more than the highest PartNumber of the level; 0 for TOPOLOGY_LEVEL_CLUSTER.
  size_t PartNumbers(v1::TopologyLevel level) const;
  // Slots of these pieces within the scope.
  int SlotsIn(const Scope& scope, const std::vector<Piece>& pieces) const;
  // Slots of the largest part of a level, of those that the selection has.
  int64_t LargestPart(const Selection& selection, v1::TopologyLevel level) const;
  // Parts of a level that have a node in the selection.
  std::vector<Scope> Parts(const Selection& selection, v1::TopologyLevel level) const;
  // Of them those with at least `size` slots, free or not: the freest first, of equals the higher
  // number, at most `most`.
  std::vector<Scope> FreestParts(const Selection& selection, v1::TopologyLevel level, int64_t size,
                                 size_t most) const;
  // The freest of those, of equals the lowest number; nothing if there is none.
  std::optional<int> FreestPart(const Selection& selection, v1::TopologyLevel level,
                                int64_t size) const;

  // The free slots for `size` ranks, nearest first: from the smallest part of the preferred level
  // that holds all, up to the required one. Within a part the tightest node that holds all, else
  // the emptiest nodes in turn. Nothing if they do not fit.
  std::optional<std::vector<Piece>> Place(const Selection& selection, int size,
                                          v1::TopologyLevel preferred,
                                          v1::TopologyLevel required) const;
  // The same anywhere in the selection but not in `without`.
  std::optional<std::vector<Piece>> PlaceOutside(const Selection& selection, int size,
                                                 const Scope& without) const;

 private:
  // Island, rack, block.
  static constexpr int kPartLevels = 3;
  static constexpr int kSelections = 4;
  // (free slots, number), in one word.
  using Order = std::set<uint64_t>;

  struct Entry {
    NodeView view;
    std::array<int, kPartLevels> parts = {};
    bool there = false;
  };
  struct Part {
    std::vector<int> members;
    std::array<Totals, kSelections> totals;
  };
  struct Level {
    std::unordered_map<std::string, int> ids;
    std::vector<Part> parts;
    std::array<Order, kSelections> by_free;
  };

  static int Number(const Selection& selection) { return 2 * selection.pool + selection.bf16; }
  static int LevelNumber(v1::TopologyLevel level) { return level - v1::TOPOLOGY_LEVEL_ISLAND; }
  static uint64_t Word(int64_t free, int number) {
    return static_cast<uint64_t>(free) << 32 | static_cast<uint32_t>(number);
  }
  int PartOf(int level, const NodeView& view);
  // Counts the node in (sign 1) or out (sign -1).
  void Count(int id, int sign);
  void CountPart(Level& level, int part, int selection, const NodeView& view, int sign);
  bool Contains(const Scope& scope, const Entry& entry) const;
  // By free slots; null for TOPOLOGY_LEVEL_CLUSTER.
  const Order* OrderOf(const Selection& selection, v1::TopologyLevel level) const;
  std::vector<Piece> Fill(std::vector<int> nodes, int size) const;
  // Whatever the parts; null: all of the selection. On the tightest node that holds all; on that,
  // else the emptiest in turn, at equal free slots the lower number first.
  std::optional<std::vector<Piece>> PlaceOnOne(int selection, int size, const Scope* without) const;
  std::optional<std::vector<Piece>> PlaceAnywhere(int selection, int size,
                                                  const Scope* without) const;
  std::optional<std::vector<Piece>> PlaceWithin(int selection, int size, v1::TopologyLevel) const;

  uint64_t layout_ = 0;
  std::unordered_map<std::string, int> ids_;
  std::vector<Entry> entries_;
  std::vector<int> unused_;
  std::array<Totals, kSelections> totals_;
  std::array<Order, kSelections> by_free_;
  std::array<Level, kPartLevels> levels_;
  // By level and selection, as LargestPart found it; emptied when slots or places change.
  mutable std::map<std::pair<int, int>, int64_t> largest_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_CLUSTER_INDEX_H_
