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

// A queue as this pass leaves it.
struct QueueNow {
  const QueueRules* rules = nullptr;
  // Most slots that it may use.
  int64_t most = 0;
  int64_t used = 0;
  // Slot-seconds, without what it holds now.
  double past_use = 0;
};

// The next job of a group.
struct Head {
  // Class, recovering, borrowing, share, priority, number; the lowest comes first.
  using Key = std::tuple<int, bool, bool, double, int, int64_t>;
  Key key;
  // What its queue used when the key was made.
  int64_t used = 0;
  JobGroup* group = nullptr;
  QueueNow* queue = nullptr;
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
  QueueNow* FindQueue(const std::string& name);
  Head::Key KeyOf(const Head& head) const;
  void Push(Head head);

  void Consider(Head head);
  bool StartAny(const Head& head);
  bool StartOn(const Head& head, int size, const Selection& selection);
  void Close(const Head& head, v1::Reason reason);
  void Wait(const Head& head);
  std::shared_ptr<const v1::Reason> SharedReason(const JobGroup& group);
  enum class Preempted { kNone, kVictims, kEnding };
  // Whether gangs are asked to stop for it, or those that end anyway are enough.
  Preempted Preempt(const Head& head, Reservation& reservation);

  const ScheduleView& view_;
  std::unique_ptr<JobGroup> also_;
  std::map<std::string, QueueNow> queues_;
  std::priority_queue<Head> heads_;
  Reservations reservations_;
  // Reasons of groups that wait, by all that is said in them; the first is Demand's.
  using ReasonKey = std::tuple<const char*, int, int, int64_t, int64_t, size_t>;
  std::map<ReasonKey, std::shared_ptr<const v1::Reason>> reasons_;
  Plan plan_;
};

bool Borrows(const QueueNow& queue, const QueuedJob& job) {
  const std::optional<int64_t>& nominal = queue.rules->nominal;
  return !nominal.has_value() || queue.used + job.sizes.back() > *nominal;
}

QueueNow* Pass::FindQueue(const std::string& name) {
  const auto [found, is_new] = queues_.try_emplace(name);
  QueueNow& queue = found->second;
  if (!is_new) return &queue;
  queue.rules = &RulesOf(view_.rules, name);
  queue.most = MostOf(*queue.rules);
  const bool also = view_.also != nullptr && view_.also->queue == name;
  queue.used = view_.running.UsedBy(name) - (also ? view_.also_slots : 0);
  const auto usage = view_.usage.find(name);
  queue.past_use = usage == view_.usage.end() ? 0 : usage->second;
  return &queue;
}

Head::Key Pass::KeyOf(const Head& head) const {
  const QueuedJob& like = head.group->like;
  const QueueNow& queue = *head.queue;
  const double share =
      (queue.past_use + kPresumedSeconds * static_cast<double>(queue.used)) / queue.rules->weight;
  return {-like.class_value,      !like.recovering,       Borrows(queue, like), share,
          head.next->first.first, head.next->first.second};
}

void Pass::Push(Head head) {
  head.key = KeyOf(head);
  head.used = head.queue->used;
  heads_.push(std::move(head));
}

void Pass::Collect() {
  QueueNow* queue = nullptr;
  const std::string* name = nullptr;
  for (const auto& [key, group] : view_.waiting.groups()) {
    // Groups of a queue follow one another.
    if (queue == nullptr || *name != group->like.queue) {
      queue = FindQueue(group->like.queue);
      name = &group->like.queue;
    }
    Push({{}, 0, group.get(), queue, group->jobs.begin()});
  }
  if (view_.also == nullptr) return;
  also_ = std::make_unique<JobGroup>();
  also_->like = *view_.also;
  also_->selections = SelectionsOf(*view_.also);
  also_->jobs[{-view_.also->priority, view_.also->number}] = view_.also->id;
  Push({{}, 0, also_.get(), FindQueue(view_.also->queue), also_->jobs.begin()});
}

Plan Pass::Run() {
  view_.running.Settle(view_.cluster);
  Collect();
  while (!heads_.empty()) {
    const Head head = heads_.top();
    heads_.pop();
    // What its queue started since may have put it behind others. A key never gets better, so that
    // one that comes back changed comes back later, and this ends.
    if (head.used != head.queue->used && head.key < KeyOf(head)) {
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
  const JobGroup& group = *head.group;
  const QueueNow& queue = *head.queue;
  if (std::optional<v1::Reason> never = NeverFits(group, view_.cluster, queue.most)) {
    return Close(head, *std::move(never));
  }
  if (queue.used + group.like.sizes.back() > queue.most) {
    return Close(head, QuotaReason(group.like, queue.used, queue.most));
  }
  if (!StartAny(head)) return Wait(head);
  if (++head.next != group.jobs.end()) Push(head);
}

bool Pass::StartAny(const Head& head) {
  for (const int size : head.group->like.sizes) {
    if (head.queue->used + size > head.queue->most) continue;
    for (const Selection& selection : head.group->selections) {
      if (StartOn(head, size, selection)) return true;
    }
  }
  return false;
}

bool Pass::StartOn(const Head& head, int size, const Selection& selection) {
  const QueuedJob& like = head.group->like;
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
  head.queue->used += size;
  plan_.starts.push_back({head.next->second, Spread(*pieces)});
  return true;
}

void Pass::Close(const Head& head, v1::Reason reason) {
  if (head.group == also_.get()) return;
  plan_.verdicts.push_back({head.group, std::make_shared<const v1::Reason>(std::move(reason))});
}

std::shared_ptr<const v1::Reason> Pass::SharedReason(const JobGroup& group) {
  const QueuedJob& like = group.like;
  const Totals totals = FreeFor(group, view_.cluster);
  std::shared_ptr<const v1::Reason>& reason =
      reasons_[{Demand(like), like.sizes.back(), like.required, totals.free, totals.slots,
                reservations_.size()}];
  if (reason == nullptr) {
    reason = std::make_shared<const v1::Reason>(
        WaitingReason(like, totals, reservations_.Holders(kNamedAhead)));
  }
  return reason;
}

// The group's jobs wait; the first of them gets a reservation in each pool that has none yet.
void Pass::Wait(const Head& head) {
  const JobGroup& group = *head.group;
  std::shared_ptr<const v1::Reason> shared = SharedReason(group);
  plan_.held_back = plan_.held_back || shared->short_by() == 0;
  // Of one that gets a reservation, what is said of that.
  std::optional<v1::Reason> own;
  // One pool is enough for it: others are not asked to stop gangs as well.
  bool served = false;
  for (const Selection& selection : group.selections) {
    Reservation* reservation = reservations_.Reserve(group.like, head.next->second, selection);
    if (reservation == nullptr) continue;
    if (!own.has_value()) own = *shared;
    const Preempted preempted = served ? Preempted::kNone : Preempt(head, *reservation);
    served = served || preempted != Preempted::kNone;
    if (preempted == Preempted::kVictims) {
      own->set_code(kPreempting);
      own->set_message(absl::StrCat(own->message(), "; others stop for it"));
    }
    if (reservation->time == absl::InfiniteDuration()) continue;
    const absl::Time start = view_.wall + (reservation->time - view_.now);
    own->mutable_earliest_start_time()->set_seconds(absl::ToUnixSeconds(start));
  }
  if (own.has_value()) return Close(head, *std::move(own));
  if (head.group != also_.get()) plan_.verdicts.push_back({head.group, std::move(shared)});
}

Pass::Preempted Pass::Preempt(const Head& head, Reservation& reservation) {
  const QueuedJob& like = *reservation.like;
  const int size = like.sizes.back();
  const size_t most = static_cast<size_t>(view_.rules.max_preemptions);
  std::optional<PreemptionChoice> best;
  Scope where;
  const Selection& selection = reservation.scope.selection;
  const PreemptionAsk ask{view_.now,    like,          size,        !Borrows(*head.queue, like),
                          selection,    like.required, view_.rules, view_.running,
                          view_.cluster};
  const std::vector<Scope> parts =
      view_.cluster.FreestParts(selection, like.required, size, kMaxParts);
  const GangsByPart gangs = FindVictims(ask, parts);
  for (const Scope& part : parts) {
    const PreemptionChoice choice = ChooseVictims(ask, part, gangs.at(part.part));
    if (!choice.fits || choice.victims.size() + plan_.preemptions.size() > most) continue;
    if (best.has_value() && best->victims.size() <= choice.victims.size()) continue;
    best = choice;
    where = part;
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

std::optional<v1::Reason> NeverFits(const QueuedJob& job, const ClusterIndex& cluster,
                                    const SchedulingRules& rules) {
  JobGroup group;
  group.like = job;
  group.selections = SelectionsOf(job);
  return NeverFits(group, cluster, MostOf(RulesOf(rules, job.queue)));
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
