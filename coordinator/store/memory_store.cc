// See memory_store.h.
#include "coordinator/store/memory_store.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {

// Looks at all there is: stores of this kind are small.
class MemoryHistory : public History {
 public:
  explicit MemoryHistory(MemoryStore::Past& past) : past_(past) {}

  absl::StatusOr<std::optional<std::string>> Find(const std::string& id) override {
    return FindIf([&](const SealedRow& row) { return row.id == id; });
  }

  absl::StatusOr<std::optional<std::string>> FindByUid(const std::string& uid) override {
    return FindIf([&](const SealedRow& row) { return row.uid == uid; });
  }

  absl::StatusOr<std::vector<BriefRow>> List(const HistoryQuery& query) override {
    std::lock_guard lock(past_.mutex);
    std::vector<BriefRow> rows;
    for (const auto& [number, row] : past_.jobs) {
      if (Matches(row, query)) rows.push_back({number, row.brief});
    }
    if (query.newest_first) std::reverse(rows.begin(), rows.end());
    rows.resize(std::min(rows.size(), static_cast<size_t>(std::max(0, query.limit))));
    return rows;
  }

  absl::StatusOr<HistoryCounts> Count() override {
    std::lock_guard lock(past_.mutex);
    HistoryCounts counts;
    for (const auto& [number, row] : past_.jobs) {
      counts.last_number = number;
      ++counts.jobs_by_state[row.state];
    }
    return counts;
  }

  absl::StatusOr<std::vector<std::pair<int64_t, std::string>>> Audit(int64_t below,
                                                                     const std::string& user,
                                                                     int limit) override {
    std::lock_guard lock(past_.mutex);
    std::vector<std::pair<int64_t, std::string>> rows;
    for (size_t i = past_.audit.size(); i-- > 0 && static_cast<int>(rows.size()) < limit;) {
      const int64_t sequence = past_.removed + static_cast<int64_t>(i) + 1;
      if (sequence >= below || (!user.empty() && past_.audit[i].user != user)) continue;
      rows.emplace_back(sequence, past_.audit[i].record);
    }
    return rows;
  }

 private:
  template <typename Test>
  std::optional<std::string> FindIf(const Test& test) {
    std::lock_guard lock(past_.mutex);
    for (const auto& [number, row] : past_.jobs) {
      if (test(row)) return row.record;
    }
    return std::nullopt;
  }

  static bool Matches(const SealedRow& row, const HistoryQuery& query) {
    const auto has = [&](const std::string& label) {
      return std::find(row.labels.begin(), row.labels.end(), label) != row.labels.end();
    };
    return row.number > query.above && row.number < query.below &&
           (query.states.empty() || query.states.count(row.state) > 0) &&
           std::all_of(query.labels.begin(), query.labels.end(), has);
  }

  MemoryStore::Past& past_;
};

absl::Status MemoryStore::Commit(const Batch& batch) {
  if (!failure_.ok()) return failure_;
  for (const Condition& condition : batch.conditions) {
    const auto found = values_.find(condition.key);
    const bool holds = found == values_.end()
                           ? !condition.value.has_value()
                           : condition.value.has_value() && *condition.value == found->second;
    if (!holds) return absl::AbortedError(absl::StrCat(condition.key, " was changed by another"));
  }
  for (const Write& write : batch.writes) {
    if (write.value.has_value()) {
      values_[write.key] = *write.value;
    } else {
      values_.erase(write.key);
    }
  }
  CommitPast(batch);
  ++commits_;
  return absl::OkStatus();
}

void MemoryStore::CommitPast(const Batch& batch) {
  std::lock_guard lock(past_.mutex);
  for (const SealedRow& row : batch.sealed) past_.jobs[row.number] = row;
  past_.audit.insert(past_.audit.end(), batch.audit.begin(), batch.audit.end());
  if (!batch.prune.has_value()) return;
  std::vector<std::pair<absl::Time, int64_t>> old;
  for (const auto& [number, row] : past_.jobs) {
    if (row.end_time < batch.prune->before) old.emplace_back(row.end_time, number);
  }
  std::sort(old.begin(), old.end());
  for (size_t i = 0; i < old.size() && static_cast<int>(i) < batch.prune->limit; ++i) {
    ++forgotten_[past_.jobs.at(old[i].second).state];
    past_.jobs.erase(old[i].second);
  }
  for (int i = 0; i < batch.prune->limit; ++i) {
    if (past_.audit.empty() || past_.audit.front().time >= batch.prune->before) break;
    past_.audit.erase(past_.audit.begin());
    ++past_.removed;
  }
}

absl::StatusOr<std::vector<KeyValue>> MemoryStore::Range(absl::string_view prefix) {
  std::vector<KeyValue> result;
  for (auto it = values_.lower_bound(std::string(prefix));
       it != values_.end() && absl::StartsWith(it->first, prefix); ++it) {
    result.push_back({it->first, it->second});
  }
  return result;
}

absl::StatusOr<std::unique_ptr<History>> MemoryStore::OpenHistory() {
  return std::make_unique<MemoryHistory>(past_);
}

}  // namespace ijepa::coordinator
