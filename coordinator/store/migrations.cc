// See migrations.h. A step that has been released is never changed.
#include "coordinator/store/migrations.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

// kSteps[i] makes schema i + 1 of schema i.
constexpr const char* kSteps[] = {
    // 1: live state.
    "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
    // 2: history. Records are apart from what lists read; a page of a list is a range of
    // history_label or history_state.
    "CREATE TABLE history(number INTEGER PRIMARY KEY, id TEXT NOT NULL, uid TEXT NOT NULL,"
    "  state INTEGER NOT NULL, end_time INTEGER NOT NULL, brief BLOB NOT NULL);"
    "CREATE UNIQUE INDEX history_id ON history(id);"
    "CREATE UNIQUE INDEX history_uid ON history(uid);"
    "CREATE INDEX history_state ON history(state, number);"
    "CREATE INDEX history_end ON history(end_time);"
    "CREATE TABLE history_record(number INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE history_label(label TEXT NOT NULL, state INTEGER NOT NULL,"
    "  number INTEGER NOT NULL, PRIMARY KEY(label, state, number)) WITHOUT ROWID;"
    "CREATE INDEX history_label_number ON history_label(number);"
    "CREATE TABLE audit(sequence INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    "  user TEXT NOT NULL, record BLOB NOT NULL);"
    "CREATE INDEX audit_user ON audit(user, sequence);",
    // 3: jobs of projects; what was there before is of the default one.
    "INSERT OR IGNORE INTO history_label(label, state, number)"
    "  SELECT '@project=default', state, number FROM history;",
};

absl::Status KeepCopy(Connection& connection, int schema) {
  const std::string copy = absl::StrCat(connection.path(), ".schema-", schema);
  // Of an earlier try that was cut off; the file itself is still as it was.
  unlink(copy.c_str());
  return connection.CopyTo(copy);
}

}  // namespace

int NewestSchema() { return static_cast<int>(std::size(kSteps)); }

absl::Status Migrate(Connection& connection) {
  IJEPA_ASSIGN_OR_RETURN(const int schema, connection.Schema());
  if (schema < 0 || schema > NewestSchema()) {
    return absl::FailedPreconditionError(absl::StrCat(
        connection.path(), " has schema ", schema, "; this version knows schemas up to ",
        NewestSchema(), "; use the version of the coordinator that wrote it"));
  }
  if (schema > 0 && schema < NewestSchema()) {
    IJEPA_RETURN_IF_ERROR(KeepCopy(connection, schema));
  }
  for (int next = schema; next < NewestSchema(); ++next) {
    absl::Status status = connection.Execute(absl::StrCat(
        "BEGIN IMMEDIATE;", kSteps[next], "PRAGMA user_version=", next + 1, ";COMMIT"));
    if (!status.ok()) {
      connection.Rollback();
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace ijepa::coordinator
