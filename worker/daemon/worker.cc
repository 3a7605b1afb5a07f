#include "worker/daemon/worker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "worker/daemon/reconcile.h"

namespace ijepa::worker {
namespace {

// While ranks run: their logs are looked at, and ranks that are being killed.
constexpr absl::Duration kBusyInterval = absl::Milliseconds(200);
constexpr absl::Duration kMaxSleep = absl::Seconds(5);
// Logs wait while this much of anything waits for the coordinator to take it.
constexpr size_t kLogQueueBytes = size_t{1} << 20;
// After the deadline of a drain: for the ends of its ranks to be told.
constexpr absl::Duration kDrainReportTime = absl::Seconds(10);
// A message of the coordinator may bring another at once; the ranks get their turn after so many.
constexpr int kMessagesPerTurn = 64;
// Heartbeats without an answer until the stream is given up, and the least time that is.
constexpr int kSilentHeartbeats = 4;
constexpr absl::Duration kLeastSilence = absl::Seconds(3);
// For what an earlier worker left to die.
constexpr absl::Duration kClearTime = absl::Seconds(2);
constexpr int kExitAbandoned = 1;

std::string MakeIncarnation() {
  const absl::StatusOr<ProcessId> self = ProcessId::Of(::getpid());
  return self.ok() ? absl::StrCat(self->boot_id, ".", self->start_time, ".", self->pid)
                   : absl::StrCat(BootId(), ".", ::getpid());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(Options options) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "making", "an eventfd");
  auto worker = absl::WrapUnique(new Worker(std::move(options), std::move(wake)));
  IJEPA_RETURN_IF_ERROR(MakeFolders(worker->ranks_folder_));
  worker->Adopt();
  return worker;
}

Worker::Worker(Options options, UniqueFd wake)
    : options_(std::move(options)),
      ranks_folder_(absl::StrCat(options_.state_dir, "/ranks")),
      incarnation_(MakeIncarnation()),
      wake_(std::move(wake)),
      last_heard_(options_.clock->Monotonic()) {
  CoordinatorLink::Options link;
  link.address = options_.coordinator;
  link.tls = options_.tls;
  link.wake = [fd = wake_.get()] {
    const uint64_t one = 1;
    // Fails only when the counter is full: then the loop is awake.
    [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof(one));
  };
  coordinator_ = std::make_unique<CoordinatorLink>(std::move(link));
}

Worker::~Worker() = default;

void Worker::Adopt() {
  std::error_code error;
  std::vector<std::string> folders;
  for (auto it = std::filesystem::directory_iterator(ranks_folder_, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    folders.push_back(it->path().string());
  }
  std::set<std::string> groups;
  for (const std::string& folder : folders) {
    absl::StatusOr<std::unique_ptr<RankProcess>> process = RankProcess::Adopt(folder);
    if (!process.ok()) {
      LogWarning("removing a rank's folder folder=", folder,
                 " reason=", process.status().message());
      if (absl::Status removed = RemoveTree(folder); !removed.ok()) {
        LogWarning("folder stays: ", removed.message());
      }
      continue;
    }
    LogInfo("adopted rank=", (*process)->key().ToString(), " pid=", (*process)->pid());
    const RankKey key = (*process)->key();
    groups.insert((*process)->cgroup());
    ranks_[key] = std::make_unique<LocalRank>(*std::move(process));
  }
  if (!options_.cgroup_base.empty()) ClearCgroups(options_.cgroup_base, groups, kClearTime);
}

int Worker::Run() {
  while (!stop_) Turn();
  if (AllocationOver()) {
    exit_code_ = desired_->exit_code();
  } else if (Abandoned()) {
    LogWarning("no coordinator came back for the one attempt that this worker was started for");
    exit_code_ = kExitAbandoned;
  }
  LogInfo(options_.leave_ranks ? "stopping; ranks go on and the next worker adopts them"
                               : "stopping; ranks end with it",
          " ranks=", ranks_.size());
  // It stays while it has groups of ranks in it.
  if (!options_.cgroup_base.empty()) ::rmdir(options_.cgroup_base.c_str());
  return exit_code_;
}

void Worker::Turn() {
  Wait();
  if (stop_) return;
  const absl::Duration now = options_.clock->Monotonic();
  HandleCoordinator(now);
  // Told before the desired state is acted on: what ended by now is none of the coordinator's
  // doing.
  if (ServiceRanks(now)) ReportIfDue(now);
  EndOrphans(now);
  ReconcileRanks(now);
  ReportIfDue(now);
  SendSteps();
  ShipLogs();
  stop_ = stop_ || (drain_deadline_ && Drained(now)) || AllocationOver() || Abandoned();
}

bool Worker::AllocationOver() const {
  return desired_.has_value() && desired_->allocation_over() && ranks_.empty();
}

bool Worker::Abandoned() const {
  return options_.info.has_allocation() && orphans_told_.has_value() &&
         std::all_of(ranks_.begin(), ranks_.end(),
                     [](const auto& entry) { return entry.second->exited(); });
}

absl::Duration Worker::NextDeadline(absl::Duration now) const {
  absl::Duration next = now + kMaxSleep;
  next = std::min({next, last_report_ + heartbeat_interval_, coordinator_->NextAttempt()});
  for (const auto& [key, rank] : ranks_) {
    if (!rank->exited()) next = std::min({next, now + kBusyInterval, rank->link().NextAttempt()});
    if (rank->exited() && coordinator_->connected()) next = std::min(next, now + kBusyInterval);
  }
  return next;
}

void Worker::Wait() {
  std::vector<pollfd> fds = {
      {wake_.get(), POLLIN, 0}, {options_.stop_fd, POLLIN, 0}, {options_.drain_fd, POLLIN, 0}};
  for (const auto& [key, rank] : ranks_) {
    if (rank->exited()) continue;
    fds.push_back({rank->pidfd(), POLLIN, 0});
    fds.push_back({rank->link().fd(),
                   static_cast<int16_t>(POLLIN | (rank->link().wants_write() ? POLLOUT : 0)), 0});
  }
  const absl::Duration now = options_.clock->Monotonic();
  const absl::Duration sleep = std::max(absl::ZeroDuration(), NextDeadline(now) - now);
  const int milliseconds =
      static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(sleep, absl::Milliseconds(1))));
  if (::poll(fds.data(), fds.size(), milliseconds) < 0 && errno != EINTR) {
    LogError(ErrnoStatus(errno, "polling", "the worker's descriptors").message());
  }
  stop_ = fds[1].revents != 0;
  if (fds[2].revents != 0) BeginDrain();
  uint64_t ignored;
  [[maybe_unused]] const ssize_t count = ::read(wake_.get(), &ignored, sizeof(ignored));
}

void Worker::BeginDrain() {
  signalfd_siginfo info;
  [[maybe_unused]] const ssize_t count = ::read(options_.drain_fd, &info, sizeof(info));
  if (drain_deadline_) {
    stop_ = true;  // Asked again.
    return;
  }
  LogInfo("draining: ranks save and stop, at most ", absl::FormatDuration(options_.drain_time),
          " ranks=", ranks_.size());
  drain_deadline_ = options_.clock->Now() + options_.drain_time;
  drain_end_ = options_.clock->Monotonic() + options_.drain_time + kDrainReportTime;
  report_needed_ = true;
}

bool Worker::Drained(absl::Duration now) const {
  if (now >= drain_end_) return true;
  // What is told and stored is forgotten; what cannot be told is in the ranks' folders for the next
  // worker.
  if (coordinator_->connected() && desired_) return ranks_.empty();
  return std::all_of(ranks_.begin(), ranks_.end(),
                     [](const auto& entry) { return entry.second->exited(); });
}

LocalRank* Worker::Find(const RankKey& key) {
  const auto it = ranks_.find(key);
  return it == ranks_.end() ? nullptr : it->second.get();
}

void Worker::HandleCoordinator(absl::Duration now) {
  coordinator_->ConnectIfDue(now, [this] { return MakeHello(); });
  const bool was_connected = coordinator_->connected();
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    const int connections = coordinator_->connections();
    const std::optional<v1::CoordinatorMessage> message = coordinator_->Poll(now);
    if (!message) break;
    if (coordinator_->connections() != connections) {
      // A new stream: what the last one may have lost is said again.
      for (auto& [key, rank] : ranks_) {
        rank->log().Rewind();
        rank->ResendStep();
      }
      for (const v1::RankMessage& put : rendezvous_.Puts()) {
        v1::WorkerMessage again;
        *again.mutable_rank() = put;
        coordinator_->Send(again);
      }
      report_needed_ = true;
    }
    HandleMessage(*message);
  }
  if (coordinator_->connected() || was_connected) last_heard_ = now;
  if (options_.metrics != nullptr) {
    options_.metrics->SetCoordinator(coordinator_->connected(), coordinator_->connections());
  }
}

void Worker::HandleMessage(const v1::CoordinatorMessage& message) {
  switch (message.body_case()) {
    case v1::CoordinatorMessage::kWelcome:
      Welcomed(message.welcome());
      break;
    case v1::CoordinatorMessage::kDesired:
      desired_ = message.desired();
      report_needed_ = true;
      break;
    case v1::CoordinatorMessage::kRank:
      ReplyLocally(message.rank());
      break;
    case v1::CoordinatorMessage::kLogAck:
      if (LocalRank* rank = Find(KeyOf(message.log_ack()))) {
        rank->log().Acknowledged(message.log_ack().offset());
      }
      break;
    case v1::CoordinatorMessage::BODY_NOT_SET:
      break;
  }
}

void Worker::Welcomed(const v1::Welcome& welcome) {
  if (welcome.heartbeat_interval_seconds() > 0) {
    heartbeat_interval_ = std::clamp(absl::Seconds(welcome.heartbeat_interval_seconds()),
                                     absl::Milliseconds(50), absl::Minutes(1));
    coordinator_->SetSilenceLimit(std::max(kLeastSilence, kSilentHeartbeats * heartbeat_interval_));
  }
  if (welcome.reattach_window_seconds() > 0) {
    reattach_window_ = absl::Seconds(welcome.reattach_window_seconds());
  }
}

void Worker::ReplyLocally(const v1::RankReply& reply) {
  if (LocalRank* rank = Find(KeyOf(reply))) rank->Send(reply.message());
}

bool Worker::ServiceRanks(absl::Duration now) {
  const absl::Time wall = options_.clock->Now();
  for (auto& [key, rank] : ranks_) {
    for (const v1::FromRank& message : rank->Service(now, wall)) HandleRank(*rank, message);
  }
  TakeGpuErrors(now);  // Before the end that they may be the cause of is reported.
  bool changed = false;
  for (auto& [key, rank] : ranks_) changed = rank->TakeChanged() || changed;
  report_needed_ = report_needed_ || changed;
  std::set<pid_t> ranks;
  for (const auto& [key, rank] : ranks_) {
    if (!rank->exited()) ranks.insert(rank->process().pid());
  }
  ReapStrays(ranks);
  return changed;
}

void Worker::TakeGpuErrors(absl::Duration now) {
  if (options_.gpu_errors == nullptr) return;
  for (const GpuErrors::Error& error : options_.gpu_errors->Poll()) {
    if (LocalRank* rank = NewestOn(error.slot)) {
      rank->AddXid(error.xid);
    } else if (ended_.AddXid(error.slot, error.xid, now)) {
      report_needed_ = true;
    } else {
      LogWarning("a GPU that no rank had reported an error slot=", error.slot, " xid=", error.xid);
    }
  }
}

// The rank that runs on the slot; else the last that ended there and is not forgotten.
LocalRank* Worker::NewestOn(int slot) {
  LocalRank* newest = nullptr;
  for (auto& [key, rank] : ranks_) {
    if (rank->process().slot() != slot) continue;
    if (!rank->exited()) return rank.get();
    if (newest == nullptr || newest->ExitTime() <= rank->ExitTime()) newest = rank.get();
  }
  return newest;
}

void Worker::HandleRank(LocalRank& rank, const v1::FromRank& message) {
  if (message.has_put()) {
    for (const v1::RankReply& reply : rendezvous_.Put(rank.key(), message)) ReplyLocally(reply);
  } else if (message.has_get()) {
    if (const std::optional<v1::RankReply> reply = rendezvous_.Get(rank.key(), message)) {
      return ReplyLocally(*reply);
    }
  }
  PassOn(rank.key(), message);
}

void Worker::PassOn(const RankKey& key, const v1::FromRank& message) {
  v1::WorkerMessage out;
  v1::RankMessage* rank = out.mutable_rank();
  rank->set_job_uid(key.job_uid);
  rank->set_generation(key.generation);
  rank->set_rank(key.rank);
  *rank->mutable_message() = message;
  // Lost while the coordinator is away: the rank says again what it has no answer to.
  coordinator_->Send(out);
}

// What the coordinator wants; while this worker drains, no more than to let it end.
v1::DesiredState Worker::Wanted() const {
  v1::DesiredState wanted = *desired_;
  if (!drain_deadline_) return wanted;
  for (v1::DesiredGang& gang : *wanted.mutable_gangs()) {
    if (gang.has_drain()) continue;
    *gang.mutable_drain()->mutable_deadline() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
            absl::ToUnixNanos(*drain_deadline_));
    gang.mutable_drain()->set_reason("MAINTENANCE");
  }
  return wanted;
}

void Worker::ReconcileRanks(absl::Duration now) {
  if (!desired_) return;
  std::vector<ActualRank> actual;
  const absl::Time oldest = options_.clock->Now() - options_.keep_exited;
  for (auto& [key, rank] : ranks_) {
    actual.push_back(rank->Actual());
    // A coordinator that never takes the log must not fill this node's disk.
    if (rank->exited() && rank->ExitTime() < oldest) actual.back().settled = true;
  }
  const Actions actions = Reconcile(Wanted(), actual, options_.info.slots(), options_.clock->Now());
  for (const KillRank& kill : actions.kill) Find(kill.key)->Kill(kill.reason, kill.superseded);
  for (const DrainRank& drain : actions.drain) Find(drain.key)->Drain(drain.drain);
  for (const RankKey& key : actions.collect_stacks) Find(key)->CollectStacks(now);
  for (const RankKey& key : actions.forget) Forget(key, now);
  for (const RankKey& key : actions.drain_unstarted) AddUnstarted(key);
  for (const StartRank& start : actions.start) StartOne(start);
  if (observed_revision_ != desired_->revision()) {
    observed_revision_ = desired_->revision();
    report_needed_ = true;
  }
  rendezvous_.Retain([this](const std::string& job, int64_t generation) {
    const auto it = ranks_.lower_bound({job, generation, 0});
    return it != ranks_.end() && it->first.job_uid == job && it->first.generation == generation;
  });
}

v1::RankLaunch Worker::LaunchOf(const RankKey& key, int slot) const {
  v1::RankLaunch launch = worker::LaunchOf(*desired_, key, slot);
  launch.set_host_address(options_.host_address);
  launch.set_node(options_.info.node());
  launch.set_index_folder(absl::StrCat(options_.state_dir, "/index"));
  return launch;
}

RankProcess::StartOptions Worker::StartOptionsOf(int slot) const {
  RankProcess::StartOptions start;
  start.ranks_folder = ranks_folder_;
  start.rank_binary = options_.rank_binary;
  start.cgroup_base = options_.cgroup_base;
  start.network = options_.info.network();
  start.ends_with_worker = !options_.leave_ranks;
  if (slot >= 0 && static_cast<size_t>(slot) < options_.devices.size()) {
    start.visible_device = options_.devices[static_cast<size_t>(slot)];
  }
  return start;
}

void Worker::StartOne(const StartRank& start) {
  auto rank = std::make_unique<LocalRank>(RankProcess::Start(
      StartOptionsOf(start.slot), LaunchOf(start.key, start.slot), options_.clock->Now()));
  if (rank->exited()) {
    LogError("rank not started rank=", start.key.ToString(),
             " message=", rank->process().exit()->message());
  } else {
    LogInfo("started rank=", start.key.ToString(), " slot=", start.slot,
            " pid=", rank->process().pid());
  }
  if (start.key.generation > 1 && options_.metrics != nullptr) options_.metrics->CountRestart();
  ranks_[start.key] = std::move(rank);
  report_needed_ = true;
}

void Worker::AddUnstarted(const RankKey& key) {
  v1::RankExit exit;
  exit.set_outcome(v1::RANK_OUTCOME_DRAINED);
  exit.set_status_code("OK");
  exit.set_message("drained before it was started");
  *exit.mutable_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      absl::ToUnixNanos(options_.clock->Now()));
  ranks_[key] = std::make_unique<LocalRank>(
      RankProcess::Unstarted(StartOptionsOf(-1), LaunchOf(key, -1), exit));
  report_needed_ = true;
}

void Worker::Forget(const RankKey& key, absl::Duration now) {
  LogInfo("forgetting rank=", key.ToString());
  ended_.Add(Find(key)->process().slot(), Find(key)->Status(), now);
  if (absl::Status removed = RemoveTree(Find(key)->process().folder()); !removed.ok()) {
    LogWarning("a rank's folder stays rank=", key.ToString(), " ", removed.message());
  }
  ranks_.erase(key);
  report_needed_ = true;
}

void Worker::EndOrphans(absl::Duration now) {
  if (now - last_heard_ < reattach_window_) {
    orphans_told_.reset();
    return;
  }
  const bool grace_over = orphans_told_ && now - *orphans_told_ >= options_.orphan_grace;
  for (auto& [key, rank] : ranks_) {
    if (rank->exited()) continue;
    if (!orphans_told_) {
      LogWarning("no coordinator for ", absl::FormatDuration(reattach_window_),
                 ", stopping rank=", key.ToString());
      rank->process().Terminate();
    } else if (grace_over && !rank->process().killed()) {
      rank->Kill("no coordinator within the reattach window", false);
    }
  }
  if (!orphans_told_) orphans_told_ = now;
}

void Worker::SendSteps() {
  if (!coordinator_->connected()) return;
  for (auto& [key, rank] : ranks_) {
    if (std::optional<v1::StepReport> step = rank->TakeStep()) {
      v1::FromRank message;
      *message.mutable_step() = *std::move(step);
      PassOn(key, message);
    }
  }
}

void Worker::ShipLogs() {
  if (!coordinator_->connected()) return;
  for (auto& [key, rank] : ranks_) {
    while (coordinator_->queued_bytes() < kLogQueueBytes) {
      std::optional<LogShipper::Chunk> chunk = rank->log().Next();
      if (!chunk) break;
      v1::WorkerMessage message;
      v1::LogChunk* log = message.mutable_log();
      log->set_job_uid(key.job_uid);
      log->set_generation(key.generation);
      log->set_rank(key.rank);
      log->set_offset(chunk->offset);
      log->set_data(chunk->data);
      if (!coordinator_->Send(message)) return;
      rank->log().Sent(*chunk);
      if (options_.metrics != nullptr) {
        options_.metrics->CountLogBytes(static_cast<int64_t>(chunk->data.size()));
      }
    }
  }
}

v1::NodeReport Worker::MakeReport() const {
  v1::NodeReport report;
  report.set_observed_revision(observed_revision_);
  report.set_draining(drain_deadline_.has_value());
  for (const auto& [key, rank] : ranks_) *report.add_ranks() = rank->Status();
  ended_.AddTo(report, options_.clock->Monotonic());
  return report;
}

v1::WorkerMessage Worker::MakeHello() const {
  v1::WorkerMessage message;
  v1::Hello* hello = message.mutable_hello();
  *hello->mutable_info() = options_.info;
  hello->set_incarnation(incarnation_);
  hello->set_allocation_token(options_.allocation_token);
  hello->set_coordinator_epoch(coordinator_->epoch());
  *hello->mutable_report() = MakeReport();
  return message;
}

void Worker::ReportIfDue(absl::Duration now) {
  const bool due = now - last_report_ >= heartbeat_interval_;
  if (due) UpdateMetrics();
  if (due) last_report_ = now;
  report_needed_ = report_needed_ || due;
  if (!coordinator_->connected() || !report_needed_) return;
  v1::WorkerMessage message;
  *message.mutable_report() = MakeReport();
  if (!coordinator_->Send(message)) return;  // Tried again in the next turn.
  last_report_ = now;
  report_needed_ = false;
  for (auto& [key, rank] : ranks_) rank->SetExitReported();
}

void Worker::UpdateMetrics() {
  if (options_.metrics == nullptr) return;
  std::map<v1::RankPhase, int> phases;
  std::map<int, ProcessUsage> usage;
  for (int slot = 0; slot < options_.info.slots(); ++slot) usage[slot] = {};
  for (const auto& [key, rank] : ranks_) {
    ++phases[rank->Status().phase()];
    if (!rank->exited()) usage[rank->process().slot()] = UsageOf(rank->process().pid());
  }
  options_.metrics->SetRanks(phases);
  for (const auto& [slot, figures] : usage) options_.metrics->SetUsage(slot, figures);
}

}  // namespace ijepa::worker
