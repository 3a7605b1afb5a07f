// See scheduler.h.
#include "coordinator/core/scheduler.h"

#include <algorithm>
#include <memory>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/pending_reasons.h"
#include "coordinator/core/preemption.h"
#include "coordinator/core/reservations.h"

namespace ijepa::coordinator {
namespace {

// Slots held now count in the fair share as if they were held for this long: a queue that has just
// been given many is not given the next ones as well.
constexpr double kPresumedSeconds = 3600;
// Jobs ahead that a reason names.
constexpr size_t kNamedAhead = 3;
// Parts of the cluster in which a preemption is tried.
constexpr size_t kMaxParts = 64;

// The next job of a group.
struct Head {
  // Class, recovering, borrowing, share, priority, number; the lowest comes first.
  using Key = std::tuple<int, bool, bool, double, int, int64_t>;
  Key key;
  const JobGroup* group = nullptr;
  const std::string* group_key = nullptr;
  std::map<JobGroup::Order, std::string>::const_iterator next;

  bool operator<(const Head& other) const { return other.key < key; }
};

std::vector<std::string> Spread(const std::vector<Piece>& pieces) {
  std::vector<std::string> nodes;
  for (const Piece& piece : pieces) nodes.insert(nodes.end(), piece.slots, piece.node);
  return nodes;
}

class Pass {
 public:
  explicit Pass(const ScheduleView& view) : view_(view), reservations_(view) {}

  Plan Run();

 private:
  void Collect();
  Head::Key KeyOf(const Head& head) const;
  void Push(Head head);
  bool Borrows(const QueuedJob& job) const;
  double Share(const std::string& queue) const;
  int64_t Used(const std::string& queue) const;
  // Most slots that the queue may use now.
  int64_t Most(const std::string& queue) const;

  void Consider(Head head);
  bool StartAny(const QueuedJob& like, const std::string& id);
  bool StartOn(const QueuedJob& like, const std::string& id, int size, const Selection& selection);
  void Close(const Head& head, v1::Reason reason);
  void Wait(const Head& head);
  enum class Preempted { kNone, kVictims, kEnding };
  // Whether gangs are asked to stop for it, or those that end anyway are enough.
  Preempted Preempt(Reservation& reservation);

  const ScheduleView& view_;
  std::unique_ptr<JobGroup> also_;
  const std::string also_key_ = "also";
  std::priority_queue<Head> heads_;
  // Slots that queues are given in this pass.
  std::map<std::string, int64_t> given_;
  Reservations reservations_;
  Plan plan_;
};

int64_t Pass::Used(const std::string& queue) const {
  const auto given = given_.find(queue);
  const bool also = view_.also != nullptr && view_.also->queue == queue;
  return view_.running.UsedBy(queue) + (given == given_.end() ? 0 : given->second) -
         (also ? view_.also_slots : 0);
}

int64_t Pass::Most(const std::string& queue) const { return MostOf(RulesOf(view_.rules, queue)); }

bool Pass::Borrows(const QueuedJob& job) const {
  const QueueRules& rules = RulesOf(view_.rules, job.queue);
  return !rules.nominal.has_value() || Used(job.queue) + job.sizes.back() > *rules.nominal;
}

double Pass::Share(const std::string& queue) const {
  const auto usage = view_.usage.find(queue);
  const double used = usage == view_.usage.end() ? 0 : usage->second;
  return (used + kPresumedSeconds * static_cast<double>(Used(queue))) /
         RulesOf(view_.rules, queue).weight;
}

Head::Key Pass::KeyOf(const Head& head) const {
  const QueuedJob& like = head.group->like;
  return {-like.class_value, !like.recovering,       Borrows(like),
          Share(like.queue), head.next->first.first, head.next->first.second};
}

void Pass::Push(Head head) {
  head.key = KeyOf(head);
  heads_.push(head);
}

void Pass::Collect() {
  for (const auto& [key, group] : view_.waiting.groups()) {
    Push({{}, group.get(), &key, group->jobs.begin()});
  }
  if (view_.also == nullptr) return;
  also_ = std::make_unique<JobGroup>();
  also_->like = *view_.also;
  also_->jobs[{-view_.also->priority, view_.also->number}] = view_.also->id;
  Push({{}, also_.get(), &also_key_, also_->jobs.begin()});
}

Plan Pass::Run() {
  Collect();
  while (!heads_.empty()) {
    const Head head = heads_.top();
    heads_.pop();
    // What was started since may have put it behind others. A key never gets better, so that one
    // that comes back changed comes back later, and this ends.
    const auto key = KeyOf(head);
    if (head.key < key) {
      Push(head);
    } else {
      Consider(head);
    }
  }
  plan_.bypassed = reservations_.bypassed();
  for (const Pool pool : {kGpu, kCpu}) {
    plan_.free += view_.cluster.Count(Selection{pool, false}).free;
  }
  return std::move(plan_);
}

void Pass::Consider(Head head) {
  const QueuedJob& like = head.group->like;
  if (std::optional<v1::Reason> never = NeverFits(like, view_.cluster, view_.rules)) {
    return Close(head, *std::move(never));
  }
  if (Used(like.queue) + like.sizes.back() > Most(like.queue)) {
    return Close(head, QuotaReason(like, Used(like.queue), Most(like.queue)));
  }
  if (!StartAny(like, head.next->second)) return Wait(head);
  if (++head.next != head.group->jobs.end()) Push(head);
}

bool Pass::StartAny(const QueuedJob& like, const std::string& id) {
  for (const int size : like.sizes) {
    if (Used(like.queue) + size > Most(like.queue)) continue;
    for (const Selection& selection : SelectionsOf(like)) {
      if (StartOn(like, id, size, selection)) return true;
    }
  }
  return false;
}

bool Pass::StartOn(const QueuedJob& like, const std::string& id, int size,
                   const Selection& selection) {
  auto pieces = view_.cluster.Place(selection, size, like.preferred, like.required);
  if (!pieces.has_value()) return false;
  if (!reservations_.Admit(like, *pieces)) {
    // Where only a part of the selection is kept for another job, the rest may do.
    const Scope* kept = reservations_.PartKept(selection);
    if (kept == nullptr || like.required < v1::TOPOLOGY_LEVEL_CLUSTER) return false;
    pieces = view_.cluster.PlaceOutside(selection, size, *kept);
    if (!pieces.has_value() || !reservations_.Admit(like, *pieces)) return false;
  }
  view_.cluster.Take(*pieces, 1);
  given_[like.queue] += size;
  plan_.starts.push_back({id, Spread(*pieces)});
  return true;
}

void Pass::Close(const Head& head, v1::Reason reason) {
  plan_.verdicts.push_back({*head.group_key, std::move(reason)});
}

// The group's jobs wait; the first of them gets a reservation in each pool that has none yet.
void Pass::Wait(const Head& head) {
  const QueuedJob& like = head.group->like;
  v1::Reason reason = WaitingReason(like, view_.cluster, reservations_.Holders(kNamedAhead));
  plan_.held_back = plan_.held_back || reason.short_by() == 0;
  // One pool is enough for it: others are not asked to stop gangs as well.
  bool served = false;
  for (const Selection& selection : SelectionsOf(like)) {
    Reservation* reservation = reservations_.Reserve(like, head.next->second, selection);
    if (reservation == nullptr) continue;
    const Preempted preempted = served ? Preempted::kNone : Preempt(*reservation);
    served = served || preempted != Preempted::kNone;
    if (preempted == Preempted::kVictims) {
      reason.set_code(kPreempting);
      reason.set_message(absl::StrCat(reason.message(), "; others stop for it"));
    }
    if (reservation->time == absl::InfiniteDuration()) continue;
    const absl::Time start = view_.wall + (reservation->time - view_.now);
    reason.mutable_earliest_start_time()->set_seconds(absl::ToUnixSeconds(start));
  }
  Close(head, std::move(reason));
}

Pass::Preempted Pass::Preempt(Reservation& reservation) {
  const QueuedJob& like = *reservation.like;
  const int size = like.sizes.back();
  const size_t most = static_cast<size_t>(view_.rules.max_preemptions);
  std::optional<PreemptionChoice> best;
  Scope where;
  const std::vector<Scope> parts = view_.cluster.Parts(reservation.scope.selection, like.required);
  size_t tried = 0;
  for (auto part = parts.rbegin(); part != parts.rend() && tried < kMaxParts; ++part) {
    if (view_.cluster.Count(*part).slots < size) continue;
    ++tried;
    const PreemptionChoice choice = ChooseVictims(
        {view_.now, like, size, !Borrows(like), *part, view_.rules, view_.running, view_.cluster});
    if (!choice.fits || choice.victims.size() + plan_.preemptions.size() > most) continue;
    if (best.has_value() && best->victims.size() <= choice.victims.size()) continue;
    best = choice;
    where = *part;
  }
  if (!best.has_value()) return Preempted::kNone;
  for (const std::string& id : best->victims) {
    plan_.preemptions.push_back({id, reservation.id});
  }
  // Without victims it waits for gangs that end anyway: the reservation knows when.
  if (best->victims.empty()) return Preempted::kEnding;
  reservation.scope = where;
  reservation.time = view_.now + view_.stop_time;
  reservation.extra = 0;
  reservation.strict = true;
  return Preempted::kVictims;
}

}  // namespace

Plan Schedule(const ScheduleView& view) { return Pass(view).Run(); }

std::vector<Selection> SelectionsOf(const QueuedJob& job) {
  if (job.device == "cuda") return {{kGpu, false}};
  if (job.device == "cpu") return {{kCpu, job.bf16}, {kGpu, job.bf16}};
  return {{kGpu, false}, {kCpu, job.bf16}};
}

std::vector<int> GangSizes(const v1::JobSpec& spec) {
  const int max = std::max(1, spec.ranks().max());
  const int min = std::clamp(spec.ranks().min(), 1, max);
  const int shards = spec.shards() > 0 ? spec.shards() : max;
  std::vector<int> sizes;
  for (int size = max; size >= min; --size) {
    if (shards % size == 0) sizes.push_back(size);
  }
  if (sizes.empty()) sizes.push_back(max);
  return sizes;
}

}  // namespace ijepa::coordinator
