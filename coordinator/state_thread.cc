// See state_thread.h.
#include "coordinator/state_thread.h"

#include <algorithm>
#include <set>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/records.h"
#include "coordinator/core/sealing.h"
#include "coordinator/history_thread.h"
#include "ijepa/v1/auth.pb.h"

namespace ijepa::coordinator {
namespace {

// Items applied between two commits: bounds the wait of the first of them.
constexpr size_t kMaxBatch = 512;
// Of what a client named, in a line of the audit log.
constexpr size_t kMaxAuditName = 256;
// While the store fails, one try to write per second.
constexpr absl::Duration kHealInterval = absl::Seconds(1);

absl::Status ReadOnlyError(const absl::Status& why) {
  return absl::UnavailableError(
      absl::StrCat("the store cannot be written (", why.message(),
                   "); nothing was changed, reads still work, try again later"));
}

// Keeps the last write of each key, in order of those.
std::vector<Write> LastWrites(std::vector<Write> writes) {
  std::set<std::string> seen;
  std::vector<Write> last;
  for (auto it = writes.rbegin(); it != writes.rend(); ++it) {
    if (seen.insert(it->key).second) last.push_back(std::move(*it));
  }
  std::reverse(last.begin(), last.end());
  return last;
}

uint64_t StreamOf(const Command& command) {
  return std::visit(
      [](const auto& body) -> uint64_t {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, WorkerHello> || std::is_same_v<Body, WorkerReport> ||
                      std::is_same_v<Body, FromRankOn>) {
          return body.stream;
        } else {
          return 0;
        }
      },
      command);
}

// Null for commands that nobody waits for.
uint64_t* TokenIn(Command& command) {
  return std::visit(
      [](auto& of_kind) -> uint64_t* {
        if constexpr (requires { of_kind.token; }) {
          return &of_kind.token;
        } else {
          return nullptr;
        }
      },
      command);
}

// 0 for commands that nobody waits for.
uint64_t TokenOf(const Command& command) {
  return std::visit(
      [](const auto& of_kind) -> uint64_t {
        if constexpr (requires { of_kind.token; }) {
          return of_kind.token;
        } else {
          return 0;
        }
      },
      command);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateThread>> StateThread::Start(Options options, Store& store,
                                                                Clock& clock, Outlet& outlet) {
  auto thread = absl::WrapUnique(new StateThread(std::move(options), store, clock, outlet));
  IJEPA_RETURN_IF_ERROR(thread->Load());
  thread->thread_ = std::thread([raw = thread.get()] { raw->Run(); });
  return thread;
}

StateThread::StateThread(Options options, Store& store, Clock& clock, Outlet& outlet)
    : options_(std::move(options)), store_(store), clock_(clock), outlet_(outlet) {}

StateThread::~StateThread() { Stop(); }

Now StateThread::ReadClock() { return {clock_.Now(), clock_.Monotonic()}; }

absl::Status StateThread::Load() {
  IJEPA_ASSIGN_OR_RETURN(std::vector<KeyValue> metas, store_.Range(kMetaKey));
  std::optional<std::string> old;
  if (!metas.empty()) {
    old = metas.front().value;
    IJEPA_ASSIGN_OR_RETURN(epoch_, DecodeEpoch(*old));
  }
  meta_ = EncodeMeta(++epoch_);
  IJEPA_RETURN_IF_ERROR(store_.Commit({{{kMetaKey, old}}, {{kMetaKey, meta_}}}));
  absl::StatusOr<std::unique_ptr<History>> history = store_.OpenHistory();
  if (history.ok()) {
    history_ = *std::move(history);
  } else if (!absl::IsUnimplemented(history.status())) {
    return history.status();
  }
  IJEPA_RETURN_IF_ERROR(Reload());
  IJEPA_RETURN_IF_ERROR(CommitBatch({{}, core_->Begin(ReadClock(), true).writes}));
  next_tick_ = clock_.Monotonic() + options_.tick;
  return absl::OkStatus();
}

std::vector<AuditRow> StateThread::AuditOf(const std::deque<Item>& items,
                                           const std::vector<Outcome>& outcomes) {
  std::unordered_map<uint64_t, const Reply*> replies;
  for (const Outcome& outcome : outcomes) {
    for (const Reply& reply : outcome.replies) replies[reply.token] = &reply;
  }
  std::vector<AuditRow> rows;
  for (const Item& item : items) {
    if (!item.line.has_value() || history_ == nullptr) continue;
    const auto found = replies.find(TokenOf(std::get<Command>(item.body)));
    if (found == replies.end()) continue;
    const absl::StatusOr<v1::Job>& job = found->second->job;
    const absl::Time now = clock_.Now();
    v1::AuditEvent event;
    *event.mutable_time() = ToProto(now);
    event.set_user(item.line->user);
    event.set_method(item.line->method);
    const bool named = job.ok() && !job->name().empty();
    event.set_resource(named ? job->name() : item.line->resource.substr(0, kMaxAuditName));
    event.set_code(absl::StatusCodeToString(job.status().code()));
    event.set_peer(item.line->peer);
    rows.push_back({now, item.line->user, event.SerializeAsString()});
  }
  return rows;
}

absl::Status StateThread::CommitOutcomes(const std::deque<Item>& items,
                                         std::vector<Outcome>& outcomes) {
  Batch batch;
  batch.audit = AuditOf(items, outcomes);
  for (Outcome& outcome : outcomes) {
    std::move(outcome.writes.begin(), outcome.writes.end(), std::back_inserter(batch.writes));
    std::move(outcome.sealed.begin(), outcome.sealed.end(), std::back_inserter(batch.sealed));
    if (outcome.prune.has_value()) batch.prune = outcome.prune;
  }
  return CommitBatch(std::move(batch));
}

absl::Status StateThread::CommitBatch(Batch batch) {
  if (batch.writes.empty() && batch.sealed.empty() && batch.audit.empty() &&
      !batch.prune.has_value()) {
    return absl::OkStatus();
  }
  const absl::Duration start = clock_.Monotonic();
  batch.conditions = {{kMetaKey, meta_}};
  batch.writes = LastWrites(std::move(batch.writes));
  absl::Status status = store_.Commit(batch);
  if (options_.on_commit) options_.on_commit(clock_.Monotonic() - start, status.ok());
  return status;
}

bool StateThread::Admit() {
  std::lock_guard lock(mutex_);
  if (waiting_calls_ >= options_.max_waiting_calls) return false;
  ++waiting_calls_;
  return true;
}

absl::Status StateThread::TooMany() const {
  return Overloaded(absl::StrCat(options_.max_waiting_calls, " calls wait for this coordinator"));
}

void StateThread::Call(Command command, ReplyCallback reply, std::optional<AuditLine> line) {
  uint64_t* token = TokenIn(command);
  IJEPA_CHECK(token != nullptr);
  *token = next_token_.fetch_add(1);
  if (!Admit()) return reply(TooMany());
  Enqueue({std::move(command), std::move(reply), nullptr, true, std::move(line)});
}

void StateThread::Post(Command command, std::function<void()> done) {
  Enqueue({std::move(command), nullptr, std::move(done), false});
}

void StateThread::Read(ReadCallback read) { Enqueue({std::move(read), nullptr, nullptr, false}); }

absl::Status StateThread::TryRead(ReadCallback read) {
  if (!Admit()) return TooMany();
  Enqueue({std::move(read), nullptr, nullptr, true});
  return absl::OkStatus();
}

void StateThread::Enqueue(Item item) {
  {
    std::lock_guard lock(mutex_);
    if (!stop_) {
      mailbox_.push_back(std::move(item));
      depth_.store(mailbox_.size(), std::memory_order_relaxed);
      wake_.notify_one();
      return;
    }
  }
  Refuse(item, absl::UnavailableError("the coordinator is stopping"));
}

void StateThread::Refuse(Item& item, const absl::Status& why) {
  if (item.reply) item.reply(why);
  if (item.done) item.done();
  if (auto* read = std::get_if<ReadCallback>(&item.body)) (*read)(nullptr);
}

void StateThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void StateThread::Run() {
  bool tick_due = false;
  while (true) {
    std::deque<Item> items = Take(tick_due);
    if (items.empty() && !tick_due) break;
    Turn(std::move(items), tick_due);
  }
}

// Waits for items or the next tick. Nothing of both: the thread was stopped, and what waited is
// refused.
std::deque<StateThread::Item> StateThread::Take(bool& tick_due) {
  std::deque<Item> items;
  std::unique_lock lock(mutex_);
  const absl::Duration wait = std::max(absl::ZeroDuration(), next_tick_ - clock_.Monotonic());
  wake_.wait_for(lock, absl::ToChronoMilliseconds(wait),
                 [this] { return stop_ || !mailbox_.empty(); });
  if (stop_) {
    items.swap(mailbox_);
    lock.unlock();
    for (Item& item : items) Refuse(item, absl::UnavailableError("the coordinator is stopping"));
    tick_due = false;
    return {};
  }
  while (!mailbox_.empty() && items.size() < kMaxBatch) {
    waiting_calls_ -= mailbox_.front().counted ? 1 : 0;
    items.push_back(std::move(mailbox_.front()));
    mailbox_.pop_front();
  }
  depth_.store(mailbox_.size(), std::memory_order_relaxed);
  tick_due = clock_.Monotonic() >= next_tick_ || items.empty();
  return items;
}

void StateThread::Turn(std::deque<Item> items, bool tick_due) {
  if (tick_due) next_tick_ = clock_.Monotonic() + options_.tick;
  if (!broken_.ok()) TryToHeal();
  if (!broken_.ok()) {
    RefuseWhileReadOnly(items);
    return;
  }
  std::vector<Outcome> outcomes = ApplyAll(items, tick_due);
  if (absl::Status status = CommitOutcomes(items, outcomes); !status.ok()) {
    Discard(items, status);
    return;
  }
  core_->Forget(store_.TakeForgotten());
  Release(items, std::move(outcomes));
}

Outcome StateThread::Apply(Command& command, Now now) {
  if (history_ != nullptr) {
    for (const std::string& id : PastJobsOf(core_->state(), command)) {
      absl::StatusOr<std::optional<v1::SealedJob>> past = FindPast(*history_, id);
      if (!past.ok()) return {{}, {}, {}, {{TokenOf(command), past.status()}}, {}};
      if (past->has_value()) core_->Lend(**std::move(past));
    }
  }
  return core_->Apply(command, now);
}

std::vector<Outcome> StateThread::ApplyAll(std::deque<Item>& items, bool tick_due) {
  std::vector<Outcome> outcomes;
  const Now now = ReadClock();
  for (Item& item : items) {
    if (auto* command = std::get_if<Command>(&item.body)) outcomes.push_back(Apply(*command, now));
  }
  core_->GiveBack();
  if (tick_due) outcomes.push_back(core_->Apply(Tick{}, now));
  if (tick_due && history_ != nullptr) outcomes.push_back(core_->Apply(SealEnded{}, now));
  if (core_->state().schedule_needed) outcomes.push_back(core_->Apply(RunScheduler{}, now));
  return outcomes;
}

void StateThread::LetOut(const Effect& effect) {
  if (const auto* send = std::get_if<SendToWorker>(&effect)) {
    outlet_.Send(send->stream, send->message);
  } else if (const auto* close = std::get_if<CloseStream>(&effect)) {
    outlet_.Close(close->stream, close->why);
  } else if (const auto* changed = std::get_if<JobChanged>(&effect)) {
    if (const Job* job = FindJob(core_->state(), changed->id)) outlet_.Changed(*job);
  } else if (std::holds_alternative<TokensChanged>(effect)) {
    outlet_.TokensChanged(core_->state());
  } else if (const auto* allocation = std::get_if<AllocationChanged>(&effect)) {
    outlet_.AllocationChanged(allocation->uid, FindJob(core_->state(), allocation->id));
  }
}

void StateThread::Release(std::deque<Item>& items, std::vector<Outcome> outcomes) {
  std::unordered_map<uint64_t, absl::StatusOr<v1::Job>> replies;
  for (Outcome& outcome : outcomes) {
    for (const Effect& effect : outcome.effects) LetOut(effect);
    for (Reply& reply : outcome.replies) replies.emplace(reply.token, std::move(reply.job));
  }
  for (Item& item : items) {
    if (auto* read = std::get_if<ReadCallback>(&item.body)) {
      (*read)(&core_->state());
      continue;
    }
    if (item.reply) {
      const auto reply = replies.find(TokenOf(std::get<Command>(item.body)));
      item.reply(reply == replies.end()
                     ? absl::StatusOr<v1::Job>(absl::InternalError("a command without a reply"))
                     : std::move(reply->second));
    }
    if (item.done) item.done();
  }
  outlet_.AfterTurn(core_->state(), clock_.Monotonic());
}

void StateThread::Discard(std::deque<Item>& items, const absl::Status& why) {
  LogError("the store failed, serving reads only: ", why.message());
  broken_ = why;
  next_heal_ = clock_.Monotonic() + kHealInterval;
  outlet_.CloseAll(absl::UnavailableError("the store failed; connect again"));
  if (absl::Status loaded = Reload(); !loaded.ok()) {
    LogError("the store cannot be read: ", loaded.message());
  }
  RefuseWhileReadOnly(items);
}

// Speculative state goes; what is on disk is read, without writing.
absl::Status StateThread::Reload() {
  last_revision_ = std::max(last_revision_, core_ == nullptr ? 0 : core_->state().last_revision);
  core_.reset();
  HistoryCounts past;
  if (history_ != nullptr) {
    IJEPA_ASSIGN_OR_RETURN(past, history_->Count());
  }
  IJEPA_ASSIGN_OR_RETURN(
      core_, Core::Restore(options_.core, {epoch_, last_revision_}, store_, past, ReadClock()));
  outlet_.TokensChanged(core_->state());
  outlet_.AllocationsReset(core_->state());
  return absl::OkStatus();
}

void StateThread::TryToHeal() {
  if (clock_.Monotonic() < next_heal_) return;
  next_heal_ = clock_.Monotonic() + kHealInterval;
  absl::Status status = CommitBatch({{}, {{kMetaKey, meta_}}});
  // A batch that was reported as failed may yet be there: read again before anything is built on
  // it.
  if (status.ok()) status = Reload();
  if (status.ok()) status = CommitBatch({{}, core_->Begin(ReadClock(), false).writes});
  if (!status.ok()) return;
  broken_ = absl::OkStatus();
  LogInfo("the store can be written again");
}

void StateThread::RefuseWhileReadOnly(std::deque<Item>& items) {
  const State* state = core_ == nullptr ? nullptr : &core_->state();
  for (Item& item : items) {
    if (auto* read = std::get_if<ReadCallback>(&item.body)) {
      (*read)(state);
      continue;
    }
    const uint64_t stream = StreamOf(std::get<Command>(item.body));
    if (stream != 0) outlet_.Close(stream, ReadOnlyError(broken_));
    Refuse(item, ReadOnlyError(broken_));
  }
  // Streams go on, and end in time.
  if (state != nullptr) outlet_.AfterTurn(*state, clock_.Monotonic());
}

}  // namespace ijepa::coordinator
