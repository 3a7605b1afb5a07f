// Slots kept for jobs that fit nowhere now, so that jobs behind them do not delay them. Pure; of
// one pass of the scheduler.
#ifndef IJEPA_COORDINATOR_CORE_RESERVATIONS_H_
#define IJEPA_COORDINATOR_CORE_RESERVATIONS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {

struct Reservation {
  std::string id;
  // The job, but for its id.
  const QueuedJob* like = nullptr;
  Scope scope;
  // Monotonic. When it starts at the latest; InfiniteDuration: not known.
  absl::Duration time = absl::InfiniteDuration();
  // Slots of the scope that it will not need then.
  int64_t extra = 0;
  // Gangs stop for it: nobody bypasses it.
  bool strict = false;
};

class Reservations {
 public:
  explicit Reservations(const ScheduleView& view) : view_(view) {}

  // Whether a job on these slots leaves every reservation what it needs: it ends before, takes what
  // is not needed, or bypasses. Counts them against the reservations if so.
  bool Admit(const QueuedJob& like, const std::vector<Piece>& pieces);

  // Where the slots of the selection are kept for another in a part of it alone; null: nowhere.
  const Scope* PartKept(const Selection& selection) const;

  // Keeps slots of the selection for the job, where it starts first; null if it could never fit
  // there, or the pool has a reservation. Valid until the next call.
  Reservation* Reserve(const QueuedJob& like, const std::string& id, const Selection& selection);

  // Jobs with reservations, the first first, at most `most`.
  std::vector<std::string> Holders(size_t most) const;
  size_t size() const { return all_.size(); }
  // Jobs that others bypassed, once for each.
  const std::vector<std::string>& bypassed() const { return bypassed_; }

 private:
  // How a job may start on slots that are kept for another.
  enum class Way { kNone, kSpare, kInTime, kBypass };

  Way WayPast(const QueuedJob& like, const Reservation& reservation, int inside) const;
  bool MayBypass(const Reservation& reservation) const;
  // `freest`: the freest part now of those that could hold it.
  void FindStart(int freest, Reservation& reservation) const;

  const ScheduleView& view_;
  std::vector<Reservation> all_;
  std::map<std::string, int> times_;
  std::vector<std::string> bypassed_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_RESERVATIONS_H_
