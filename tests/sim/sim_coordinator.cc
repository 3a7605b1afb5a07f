// See sim_coordinator.h.
#include "sim_coordinator.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/records.h"

namespace ijepa::sim {

using coordinator::Command;
using coordinator::Core;
using coordinator::Outcome;
using coordinator::Write;

namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr absl::Duration kHealInterval = absl::Seconds(1);
// Each Apply of the scheduler asks for no other within so many rounds.
constexpr size_t kMaxBatch = 16;

uint64_t* TokenIn(Command& command) {
  return std::visit(
      [](auto& body) -> uint64_t* {
        if constexpr (requires { body.token; }) {
          return &body.token;
        } else {
          return nullptr;
        }
      },
      command);
}

// 0 for commands of people.
uint64_t StreamOf(const Command& command) {
  return std::visit(
      [](const auto& body) -> uint64_t {
        if constexpr (requires { body.stream; }) {
          return body.stream;
        } else {
          return 0;
        }
      },
      command);
}

}  // namespace

SimCoordinator::SimCoordinator(EventQueue& events, SimRandom& random,
                               const coordinator::CoreOptions& options, Sabotage sabotage,
                               Hooks hooks)
    : events_(events),
      random_(random),
      options_(options),
      sabotage_(sabotage),
      hooks_(std::move(hooks)) {}

coordinator::Now SimCoordinator::now() const {
  return {SimEpoch() + wall_offset_ + events_.now(), absl::Seconds(1000) + events_.now()};
}

void SimCoordinator::Start() {
  if (up()) return;
  ++life_;
  crashing_ = false;
  broken_ = absl::OkStatus();
  stalled_until_ = events_.now();
  next_fault_ = CommitFault::kNone;
  const auto metas = *store_.Range(coordinator::kMetaKey);
  std::optional<std::string> old;
  if (!metas.empty()) old = metas.front().value;
  epoch_ = old.has_value() ? *coordinator::DecodeEpoch(*old) : 0;
  if (sabotage_ != Sabotage::kEpochReused || epoch_ == 0) ++epoch_;
  meta_ = coordinator::EncodeMeta(epoch_);
  last_revision_ = 0;
  IJEPA_CHECK(
      store_.Commit({{{coordinator::kMetaKey, old}}, {{coordinator::kMetaKey, meta_}}}).ok());
  if (!Reload()) return;
  hooks_.reloaded();
  outcomes_.push_back(core_->Begin(now(), true));
  std::vector<Write> writes;
  TakeWrites(writes);
  IJEPA_CHECK(Commit(std::move(writes)).ok());
  outcomes_.clear();
  next_tick_ = events_.now() + kTick;
  ScheduleTick(life_);
}

bool SimCoordinator::Reload() {
  if (core_ != nullptr) last_revision_ = std::max(last_revision_, core_->state().last_revision);
  core_.reset();
  auto pairs = *store_.Range("");
  SpoilPairs(sabotage_, pairs);
  auto core = Core::Restore(options_, {epoch_, last_revision_}, pairs, now());
  if (!core.ok()) {
    hooks_.violation(absl::StrCat("the store cannot be read back: ", core.status().message()));
    return false;
  }
  core_ = *std::move(core);
  disturbed_ = reloaded_ = events_.now();
  return true;
}

void SimCoordinator::Crash() {
  if (!up()) return;
  ++life_;
  core_.reset();
  turn_scheduled_ = false;
  outcomes_.clear();
  mailbox_.clear();
  std::map<uint64_t, Reply> waiting = std::exchange(waiting_, {});
  hooks_.close_all();
  for (auto& [token, reply] : waiting) reply(absl::UnavailableError("the coordinator died"));
}

void SimCoordinator::Stall(absl::Duration length) {
  if (!up()) return;
  const absl::Duration begin = std::max(stalled_until_, events_.now());
  const absl::Duration end = std::max(begin, events_.now() + length);
  stood_still_ += end - begin;
  stalled_until_ = end;
  disturbed_ = std::max(disturbed_, stalled_until_);
}

void SimCoordinator::Post(Command command, Reply reply) {
  if (!up()) {
    if (reply) reply(absl::UnavailableError("there is no coordinator"));
    return;
  }
  if (reply) {
    *TokenIn(command) = next_token_;
    waiting_[next_token_++] = std::move(reply);
  }
  mailbox_.push_back({std::move(command), nullptr});
  ScheduleTurn(random_.Within(absl::ZeroDuration(), absl::Milliseconds(3)));
}

void SimCoordinator::ScheduleTurn(absl::Duration delay) {
  if (turn_scheduled_) return;
  turn_scheduled_ = true;
  const int64_t life = life_;
  events_.At(std::max(events_.now() + delay, stalled_until_), [this, life] {
    if (life != life_) return;
    turn_scheduled_ = false;
    if (events_.now() < stalled_until_) return ScheduleTurn(absl::ZeroDuration());
    Turn();
  });
}

void SimCoordinator::ScheduleTick(int64_t life) {
  events_.At(std::max(next_tick_, stalled_until_), [this, life] {
    if (life != life_) return;
    tick_due_ = true;
    ScheduleTurn(absl::ZeroDuration());
    next_tick_ = std::max(next_tick_ + kTick, events_.now());
    ScheduleTick(life);
  });
}

void SimCoordinator::Apply(Command command) {
  if (hooks_.trace) hooks_.trace(command);
  if (!SpoilCommand(sabotage_, core_->state(), command)) return;
  if (sabotage_ == Sabotage::kDeadNodeHeard) {
    if (std::holds_alternative<coordinator::StreamClosed>(command)) return;
    if (std::holds_alternative<coordinator::Tick>(command)) HearTheDead();
    if (const auto* report = std::get_if<coordinator::WorkerReport>(&command)) {
      last_reports_[report->stream] = report->report;
    }
  }
  outcomes_.push_back(core_->Apply(command, now()));
}

void SimCoordinator::HearTheDead() {
  for (const auto& [stream, report] : last_reports_) {
    outcomes_.push_back(core_->Apply(coordinator::WorkerReport{stream, report}, now()));
  }
}

v1::CoordinatorMessage SimCoordinator::Spoilt(uint64_t stream, v1::CoordinatorMessage message) {
  if (sabotage_ != Sabotage::kRanksNeverStopped || !message.has_desired()) return message;
  v1::DesiredState& last = last_desired_[stream];
  for (const v1::DesiredGang& gang : last.gangs()) {
    const auto& wanted = message.desired().gangs();
    const bool still = std::any_of(wanted.begin(), wanted.end(), [&](const v1::DesiredGang& each) {
      return each.job_uid() == gang.job_uid() && each.generation() == gang.generation();
    });
    if (!still) *message.mutable_desired()->add_gangs() = gang;
  }
  last = message.desired();
  return message;
}

void SimCoordinator::TakeWrites(std::vector<Write>& into) {
  for (Outcome& outcome : outcomes_) {
    std::move(outcome.writes.begin(), outcome.writes.end(), std::back_inserter(into));
  }
}

absl::Status SimCoordinator::Commit(std::vector<Write> writes) {
  if (writes.empty()) return absl::OkStatus();
  SpoilWrites(sabotage_, writes);
  const CommitFault fault = std::exchange(next_fault_, CommitFault::kNone);
  if (fault != CommitFault::kNone && hooks_.note) {
    hooks_.note(absl::StrCat("fault at the commit: ", static_cast<int>(fault)));
  }
  crashing_ = fault == CommitFault::kCrashBefore || fault == CommitFault::kCrashAfter;
  if (fault == CommitFault::kCrashBefore && sabotage_ == Sabotage::kTornCommit) {
    writes.resize(writes.size() / 2);
  } else if (fault == CommitFault::kCrashBefore || fault == CommitFault::kFailWithoutWriting) {
    return absl::UnavailableError("nothing was written");
  }
  const absl::Status status = store_.Commit({{{coordinator::kMetaKey, meta_}}, std::move(writes)});
  if (!status.ok()) return status;
  const bool hidden = crashing_ || fault == CommitFault::kFailAfterWriting;
  return hidden ? absl::InternalError("all was written") : absl::OkStatus();
}

void SimCoordinator::Turn() {
  std::deque<Item> items;
  while (!mailbox_.empty() && items.size() < kMaxBatch) {
    items.push_back(std::move(mailbox_.front()));
    mailbox_.pop_front();
  }
  if (!mailbox_.empty()) ScheduleTurn(absl::ZeroDuration());
  if (!broken_.ok()) TryToHeal();
  if (!up()) return;
  if (!broken_.ok()) return RefuseAll(items, broken_);
  if (sabotage_ == Sabotage::kStallTakenForSilence) {
    // As many ticks as the gap has, so that the core sees no gap.
    const absl::Duration last = core_->state().last_tick;
    for (absl::Duration at = last + kTick; at < now().monotonic; at += kTick) {
      if (last < absl::ZeroDuration()) break;
      outcomes_.push_back(core_->Apply(coordinator::Tick{}, {now().wall, at}));
    }
  }
  for (Item& item : items) Apply(item.command);
  if (std::exchange(tick_due_, false)) Apply(coordinator::Tick{});
  if (core_->state().schedule_needed && sabotage_ != Sabotage::kSchedulerForgotten) {
    Apply(coordinator::RunScheduler{});
  }
  if (sabotage_ == Sabotage::kEffectBeforeDurability) {
    const std::vector<Outcome> kept = outcomes_;
    Release();
    outcomes_ = kept;
    for (Outcome& outcome : outcomes_) outcome.replies.clear(), outcome.effects.clear();
  }
  std::vector<Write> writes;
  TakeWrites(writes);
  if (absl::Status status = Commit(std::move(writes)); !status.ok()) {
    if (crashing_) return Crash();
    return Discard(items, status);
  }
  hooks_.durable();
  Release();
}

void SimCoordinator::Release() {
  for (Outcome& outcome : std::exchange(outcomes_, {})) {
    for (const coordinator::Effect& effect : outcome.effects) {
      if (const auto* send = std::get_if<coordinator::SendToWorker>(&effect)) {
        hooks_.send(send->stream, Spoilt(send->stream, send->message));
      } else if (const auto* close = std::get_if<coordinator::CloseStream>(&effect)) {
        hooks_.close(close->stream);
      }
    }
    for (coordinator::Reply& reply : outcome.replies) {
      const auto found = waiting_.find(reply.token);
      if (found == waiting_.end()) continue;
      const Reply answer = std::move(found->second);
      waiting_.erase(found);
      answer(std::move(reply.job));
    }
  }
}

void SimCoordinator::Discard(std::deque<Item>& items, const absl::Status& why) {
  broken_ = why;
  next_heal_ = events_.now() + kHealInterval;
  outcomes_.clear();
  hooks_.close_all();
  if (!Reload()) return;
  hooks_.reloaded();
  RefuseAll(items, why);
}

void SimCoordinator::RefuseAll(std::deque<Item>& items, const absl::Status& why) {
  for (Item& item : items) {
    if (const uint64_t stream = StreamOf(item.command); stream != 0) hooks_.close(stream);
    const uint64_t* token = TokenIn(item.command);
    const auto found = token == nullptr ? waiting_.end() : waiting_.find(*token);
    if (found == waiting_.end()) continue;
    const Reply answer = std::move(found->second);
    waiting_.erase(found);
    answer(absl::UnavailableError(why.message()));
  }
}

void SimCoordinator::TryToHeal() {
  if (events_.now() < next_heal_) return;
  next_heal_ = events_.now() + kHealInterval;
  if (!Commit({{coordinator::kMetaKey, meta_}}).ok()) {
    if (crashing_) Crash();
    return;
  }
  if (!Reload()) return;
  outcomes_.push_back(core_->Begin(now(), false));
  std::vector<Write> writes;
  TakeWrites(writes);
  outcomes_.clear();
  if (!Commit(std::move(writes)).ok()) {
    if (crashing_) Crash();
    return;
  }
  broken_ = absl::OkStatus();
  hooks_.reloaded();
}

}  // namespace ijepa::sim
