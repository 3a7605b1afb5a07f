// See sqlite_history.h.
#include "coordinator/store/sqlite_history.h"

#include <sqlite3.h>

#include <algorithm>
#include <functional>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

constexpr char kFind[] =
    "SELECT record FROM history_record WHERE number=(SELECT number FROM history WHERE ";

}  // namespace

absl::Status HistoryWriter::Prepare(Connection& connection) {
  const std::pair<Statement*, const char*> statements[] = {
      {&job_,
       "INSERT INTO history(number, id, uid, state, end_time, brief) VALUES(?1,?2,?3,?4,?5,?6)"},
      {&record_, "INSERT INTO history_record(number, record) VALUES(?1, ?2)"},
      {&label_, "INSERT OR IGNORE INTO history_label(label, state, number) VALUES(?1, ?2, ?3)"},
      {&drop_job_, "DELETE FROM history WHERE number=?1"},
      {&drop_record_, "DELETE FROM history_record WHERE number=?1"},
      {&drop_labels_, "DELETE FROM history_label WHERE number=?1"},
      {&old_jobs_,
       "SELECT number, state FROM history WHERE end_time<?1 ORDER BY end_time LIMIT ?2"},
      {&audit_, "INSERT INTO audit(time, user, record) VALUES(?1, ?2, ?3)"},
      {&drop_audit_,
       "DELETE FROM audit WHERE sequence IN"
       " (SELECT sequence FROM audit WHERE time<?1 ORDER BY sequence LIMIT ?2)"}};
  for (const auto& [statement, sql] : statements) {
    IJEPA_ASSIGN_OR_RETURN(*statement, connection.Prepare(sql));
  }
  return absl::OkStatus();
}

absl::Status HistoryWriter::Write(Connection& connection, const Batch& batch) {
  for (const SealedRow& row : batch.sealed) IJEPA_RETURN_IF_ERROR(Seal(connection, row));
  for (const AuditRow& row : batch.audit) {
    StatementUse use(audit_);
    audit_.BindInt(1, absl::ToUnixMicros(row.time));
    audit_.BindText(2, row.user);
    audit_.BindBytes(3, row.record);
    IJEPA_RETURN_IF_ERROR(connection.Run(audit_));
  }
  return batch.prune.has_value() ? Prune(connection, *batch.prune) : absl::OkStatus();
}

absl::Status HistoryWriter::Seal(Connection& connection, const SealedRow& row) {
  IJEPA_RETURN_IF_ERROR(Remove(connection, row.number));
  StatementUse use_job(job_);
  job_.BindInt(1, row.number);
  job_.BindText(2, row.id);
  job_.BindText(3, row.uid);
  job_.BindInt(4, row.state);
  job_.BindInt(5, absl::ToUnixMicros(row.end_time));
  job_.BindBytes(6, row.brief);
  IJEPA_RETURN_IF_ERROR(connection.Run(job_));
  StatementUse use_record(record_);
  record_.BindInt(1, row.number);
  record_.BindBytes(2, row.record);
  IJEPA_RETURN_IF_ERROR(connection.Run(record_));
  for (const std::string& label : row.labels) {
    StatementUse use(label_);
    label_.BindText(1, label);
    label_.BindInt(2, row.state);
    label_.BindInt(3, row.number);
    IJEPA_RETURN_IF_ERROR(connection.Run(label_));
  }
  return absl::OkStatus();
}

absl::Status HistoryWriter::Remove(Connection& connection, int64_t number) {
  for (Statement* statement : {&drop_job_, &drop_record_, &drop_labels_}) {
    StatementUse use(*statement);
    statement->BindInt(1, number);
    IJEPA_RETURN_IF_ERROR(connection.Run(*statement));
  }
  return absl::OkStatus();
}

absl::Status HistoryWriter::Prune(Connection& connection, const Batch::Prune& prune) {
  std::vector<int64_t> numbers;
  {
    StatementUse use(old_jobs_);
    old_jobs_.BindInt(1, absl::ToUnixMicros(prune.before));
    old_jobs_.BindInt(2, prune.limit);
    int code;
    while ((code = old_jobs_.Step()) == SQLITE_ROW) {
      numbers.push_back(old_jobs_.Int(0));
      ++pruned_[static_cast<int>(old_jobs_.Int(1))];
    }
    if (code != SQLITE_DONE) return connection.Error("read");
  }
  for (const int64_t number : numbers) IJEPA_RETURN_IF_ERROR(Remove(connection, number));
  StatementUse use(drop_audit_);
  drop_audit_.BindInt(1, absl::ToUnixMicros(prune.before));
  drop_audit_.BindInt(2, prune.limit);
  return connection.Run(drop_audit_);
}

absl::StatusOr<std::unique_ptr<SqliteHistory>> SqliteHistory::Open(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                         Connection::Open(path, Connection::Mode::kRead));
  auto history = absl::WrapUnique(new SqliteHistory(std::move(connection)));
  Connection& db = *history->connection_;
  IJEPA_ASSIGN_OR_RETURN(history->find_, db.Prepare(absl::StrCat(kFind, "id=?1)")));
  IJEPA_ASSIGN_OR_RETURN(history->find_by_uid_, db.Prepare(absl::StrCat(kFind, "uid=?1)")));
  IJEPA_ASSIGN_OR_RETURN(history->brief_, db.Prepare("SELECT brief FROM history WHERE number=?1"));
  return history;
}

absl::StatusOr<std::optional<std::string>> SqliteHistory::FindBy(Statement& statement,
                                                                 const std::string& key) {
  StatementUse use(statement);
  statement.BindText(1, key);
  const int code = statement.Step();
  if (code == SQLITE_ROW) return std::optional<std::string>(statement.Bytes(0));
  if (code == SQLITE_DONE) return std::optional<std::string>();
  return connection_->Error("read");
}

absl::StatusOr<std::optional<std::string>> SqliteHistory::Find(const std::string& id) {
  return FindBy(find_, id);
}

absl::StatusOr<std::optional<std::string>> SqliteHistory::FindByUid(const std::string& uid) {
  return FindBy(find_by_uid_, uid);
}

absl::Status SqliteHistory::AddNumbers(const HistoryQuery& query, int state,
                                       std::vector<int64_t>& numbers) {
  const bool labelled = !query.labels.empty();
  std::string sql =
      absl::StrCat("SELECT number FROM ",
                   labelled ? "history_label AS h WHERE label=?1 AND" : "history AS h WHERE",
                   " state=?2 AND number>?3 AND number<?4");
  for (size_t i = 1; i < query.labels.size(); ++i) {
    absl::StrAppend(&sql, " AND EXISTS(SELECT 1 FROM history_label AS l WHERE l.label=?", 5 + i,
                    " AND l.state=?2 AND l.number=h.number)");
  }
  absl::StrAppend(&sql, " ORDER BY number ", query.newest_first ? "DESC" : "ASC", " LIMIT ?5");
  IJEPA_ASSIGN_OR_RETURN(Statement list, connection_->Prepare(sql));
  if (labelled) list.BindText(1, query.labels[0]);
  list.BindInt(2, state);
  list.BindInt(3, query.above);
  list.BindInt(4, query.below);
  list.BindInt(5, query.limit);
  for (size_t i = 1; i < query.labels.size(); ++i) {
    list.BindText(static_cast<int>(5 + i), query.labels[i]);
  }
  int code;
  while ((code = list.Step()) == SQLITE_ROW) numbers.push_back(list.Int(0));
  return code == SQLITE_DONE ? absl::OkStatus() : connection_->Error("read");
}

absl::StatusOr<std::vector<BriefRow>> SqliteHistory::List(const HistoryQuery& query) {
  std::set<int> states = query.states;
  if (states.empty()) {
    // Each state is a range of an index; all of them together are none.
    IJEPA_ASSIGN_OR_RETURN(
        Statement all,
        connection_->Prepare(
            "WITH RECURSIVE s(state) AS (SELECT MIN(state) FROM history UNION ALL"
            " SELECT (SELECT MIN(state) FROM history WHERE state>s.state) FROM s"
            " WHERE s.state IS NOT NULL) SELECT state FROM s WHERE state IS NOT NULL"));
    int code;
    while ((code = all.Step()) == SQLITE_ROW) states.insert(static_cast<int>(all.Int(0)));
    if (code != SQLITE_DONE) return connection_->Error("read");
  }
  std::vector<int64_t> numbers;
  for (const int state : states) IJEPA_RETURN_IF_ERROR(AddNumbers(query, state, numbers));
  if (query.newest_first) {
    std::sort(numbers.begin(), numbers.end(), std::greater<>());
  } else {
    std::sort(numbers.begin(), numbers.end());
  }
  numbers.resize(std::min(numbers.size(), static_cast<size_t>(std::max(0, query.limit))));
  std::vector<BriefRow> rows;
  for (const int64_t number : numbers) {
    StatementUse use(brief_);
    brief_.BindInt(1, number);
    const int code = brief_.Step();
    if (code == SQLITE_ROW) rows.push_back({number, brief_.Bytes(0)});
    // Gone: removed for its age since.
    if (code != SQLITE_ROW && code != SQLITE_DONE) return connection_->Error("read");
  }
  return rows;
}

absl::StatusOr<HistoryCounts> SqliteHistory::Count() {
  HistoryCounts counts;
  IJEPA_ASSIGN_OR_RETURN(Statement last, connection_->Prepare("SELECT MAX(number) FROM history"));
  if (last.Step() != SQLITE_ROW) return connection_->Error("read");
  counts.last_number = last.Int(0);
  IJEPA_ASSIGN_OR_RETURN(
      Statement states, connection_->Prepare("SELECT state, COUNT(*) FROM history GROUP BY state"));
  int code;
  while ((code = states.Step()) == SQLITE_ROW) {
    counts.jobs_by_state[static_cast<int>(states.Int(0))] = states.Int(1);
  }
  if (code != SQLITE_DONE) return connection_->Error("read");
  return counts;
}

absl::StatusOr<std::vector<std::pair<int64_t, std::string>>> SqliteHistory::Audit(
    int64_t below, const std::string& user, int limit) {
  IJEPA_ASSIGN_OR_RETURN(
      Statement list, connection_->Prepare(absl::StrCat(
                          "SELECT sequence, record FROM audit WHERE sequence<?1",
                          user.empty() ? "" : " AND user=?3", " ORDER BY sequence DESC LIMIT ?2")));
  list.BindInt(1, below);
  list.BindInt(2, limit);
  if (!user.empty()) list.BindText(3, user);
  std::vector<std::pair<int64_t, std::string>> rows;
  int code;
  while ((code = list.Step()) == SQLITE_ROW) rows.emplace_back(list.Int(0), list.Bytes(1));
  if (code != SQLITE_DONE) return connection_->Error("read");
  return rows;
}

}  // namespace ijepa::coordinator
