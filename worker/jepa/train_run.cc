// The loop: data in, one update out, everything else when it is due.
//
// All ranks run the same steps in the same order and take every decision that concerns all of them
// (drain, which checkpoint, bad loss) from values that a collective made equal.
#include "worker/jepa/train_run.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/checkpoint_saver.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/loader.h"
#include "worker/jepa/data/sample_order.h"
#include "worker/jepa/data_meter.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/fault_injector.h"
#include "worker/jepa/gradient_exchange.h"
#include "worker/jepa/health_watch.h"
#include "worker/jepa/mask_streams.h"
#include "worker/jepa/non_finite_policy.h"
#include "worker/jepa/plan/flat_ranges.h"
#include "worker/jepa/plan/schedules.h"
#include "worker/jepa/probe_plan.h"
#include "worker/jepa/probe_runner.h"
#include "worker/jepa/rate_meter.h"
#include "worker/jepa/run_checkpoint.h"
#include "worker/jepa/save_interval.h"
#include "worker/jepa/start_run.h"

namespace jepa {
namespace {

// Age at which a step counts 1/e in images per second.
constexpr absl::Duration kRateMemory = absl::Seconds(10);
constexpr char kDiverged[] =
    "; lower optimization.lr, lengthen optimization.warmup, or look at the data";

// Committed checkpoints that a run remembers to go back to. Retention keeps the newest two or more.
constexpr size_t kKnownCheckpoints = 3;

// What one step did, the same on all ranks except where it says otherwise.
struct StepOutcome {
  int64_t step = 0;  // From 1.
  bool measured = false;
  UpdateRates rates;
  int context_patches = 0;  // Mean over this rank's shards, as below.
  int target_patches = 0;
  absl::Duration start;  // Of this rank, as the next three. By the host's clock.
  absl::Duration work;
  absl::Duration peer_wait;
  int64_t calls = 0;  // Left to the device until its end: Communicator::given.
  // When its result is there:
  double loss = 0;
  double gradient_norm = 0;
  bool finite = true;       // Else there was no update.
  double wait_seconds = 0;  // Mean over ranks.
};

// What results of steps ask of all ranks.
struct Decisions {
  bool drain = false;
  bool save = false;        // Due by the clock.
  float written_ranks = 0;  // That have written their parts of the checkpoint under way.
};

class TrainRun {
 public:
  TrainRun(const TrainConfig& config, RunHost& host, const TrainParts& parts)
      : config_(config),
        host_(host),
        parts_(parts),
        injector_(config),
        masks_(config),
        rate_(kRateMemory),
        known_(config.checkpoint.resume),
        health_(config),
        non_finite_(config.faults) {}

  absl::StatusOr<TrainOutcome> Run();

 private:
  absl::Status OpenData();
  absl::Status Meet();
  void MakeExchange();
  // What of a checkpoint is taken: position and masks too, or the learner's state alone.
  enum class Scope { kRun, kLearner };
  absl::Status Resume();
  absl::Status StartFromGiven();
  absl::StatusOr<int64_t> RestoreNewestUsable(Scope scope);
  absl::Status TryRestore(const std::string& path, Scope scope, int64_t& step,
                          absl::Status& refused);
  void StartLoader();
  absl::Status Step(Decisions& decided);
  absl::StatusOr<StepOutcome> AccumulateShards();
  absl::StatusOr<Batch> NextBatch();
  absl::Status ShareGradient();
  absl::Status TakeResults(size_t left, Decisions& decided);
  void CountTime(const StepOutcome& outcome);
  absl::Status Judge(const StepResult& result, StepOutcome& outcome);
  absl::Status BearNonFinite(int64_t step, absl::string_view what);
  absl::Status RollBack(int64_t step, absl::string_view what);
  void Report(const StepOutcome& outcome);
  bool SaveIsDue(const Decisions& decided) const;
  absl::Status Save();
  absl::Status FinishSave();
  absl::Status ProbeIfDue();
  absl::StatusOr<bool> OnEveryRank(bool mine);
  bool leads() const { return config_.rank == 0; }
  RunState state() { return {*learner_, masks_, Figures()}; }
  RunFigures Figures() const;

  const TrainConfig& config_;
  RunHost& host_;
  const TrainParts& parts_;
  FaultInjector injector_;  // Before saver_, whose threads call it.
  MaskStreams masks_;
  RateMeter rate_;
  // Made by OpenData, Meet and StartLoader. Peers go first at the end: they see at once that this
  // rank stops, even when the loader still waits for a file.
  std::unique_ptr<ImageSource> images_;
  RunLength length_;
  std::optional<Schedules> schedules_;
  std::optional<ProbePlan> probe_plan_;
  std::unique_ptr<ProbeRunner> probes_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<CheckpointSaver> saver_;
  std::optional<SaveInterval> save_interval_;  // Of rank 0.
  std::unique_ptr<Communicator> peers_;
  std::unique_ptr<GradientExchange> exchange_;
  // Position.
  int64_t step_ = 0;  // Steps that the learner was given. 0 <= step_ <= length_.total_steps
  std::deque<StepOutcome> under_way_;  // Of these, the newest whose results are not taken yet.
  absl::Duration reported_;            // When the last step was.
  absl::Duration waited_;
  std::vector<std::string> known_;  // Committed checkpoints, newest first.
  HealthWatch health_;
  NonFinitePolicy non_finite_;
  absl::Duration computed_, peer_wait_;  // Own work in steps, and waiting for peers in them.
  absl::Duration update_wait_;           // Of the step under way, inside its update.
  int64_t rollbacks_ = 0;
  StepOutcome last_finite_;
  DataMeter data_;
  std::string last_finite_loss_ = "none";
};

absl::StatusOr<TrainOutcome> TrainRun::Run() {
  IJEPA_RETURN_IF_ERROR(OpenData());
  IJEPA_RETURN_IF_ERROR(Meet());
  IJEPA_RETURN_IF_ERROR(ProbeIfDue());  // The random initialisation.
  IJEPA_RETURN_IF_ERROR(Resume());
  IJEPA_RETURN_IF_ERROR(ProbeIfDue());  // One that the last attempt saved for but did not report.
  StartLoader();
  if (leads()) save_interval_.emplace(config_.checkpoint, parts_.clock->Monotonic());
  host_.EnterPhase(RunPhase::kTraining);
  while (step_ < length_.total_steps) {
    IJEPA_RETURN_IF_ERROR(host_.Alive());
    Decisions decided;
    IJEPA_RETURN_IF_ERROR(Step(decided));
    IJEPA_RETURN_IF_ERROR(saver_->Advance(decided.written_ranks));
    // Nothing but a step begins while others are under way.
    if (decided.drain || SaveIsDue(decided) || probe_plan_->Due(step_)) {
      IJEPA_RETURN_IF_ERROR(TakeResults(0, decided));
    }
    if (decided.drain && step_ < length_.total_steps) {
      IJEPA_RETURN_IF_ERROR(Save());
      IJEPA_RETURN_IF_ERROR(FinishSave());
      return TrainOutcome::kDrained;
    }
    if (SaveIsDue(decided)) IJEPA_RETURN_IF_ERROR(Save());
    if (step_ == length_.total_steps) IJEPA_RETURN_IF_ERROR(FinishSave());
    IJEPA_RETURN_IF_ERROR(ProbeIfDue());
  }
  return TrainOutcome::kCompleted;
}

absl::Status TrainRun::OpenData() {
  IJEPA_ASSIGN_OR_RETURN(images_, OpenImageSource(config_.data.path, config_.data.index_folder));
  IJEPA_RETURN_IF_ERROR(CheckOrder(config_.data.order, images_->size()));
  length_ = RunLengthFor(images_->size(), config_.shards, config_.data.batch_size,
                         config_.optimization.epochs);
  if (length_.steps_per_epoch == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        config_.data.path, " has ", images_->size(), " images, one global batch needs ",
        GlobalBatch(config_), " (", config_.shards, " shards of data.batch_size ",
        config_.data.batch_size, "); lower data.batch_size or ranks"));
  }
  schedules_.emplace(config_.optimization, length_.steps_per_epoch);
  probe_plan_.emplace(config_.eval, length_.total_steps);
  IJEPA_ASSIGN_OR_RETURN(probes_, ProbeRunner::Open(config_));
  return absl::OkStatus();
}

absl::Status TrainRun::Meet() {
  IJEPA_ASSIGN_OR_RETURN(learner_, parts_.make_learner(config_));
  IJEPA_ASSIGN_OR_RETURN(peers_, MeetPeers(config_, host_, parts_.peer_timeout, *parts_.clock));
  if (parts_.around_peers) peers_ = parts_.around_peers(std::move(peers_));
  MakeExchange();
  saver_ = std::make_unique<CheckpointSaver>(
      config_, host_, *peers_,
      SaverOptions{
          .commit_timeout = parts_.commit_timeout,
          .clock = parts_.clock,
          .before_operation =
              [this](absl::string_view operation) {
                if (parts_.before_checkpoint_operation) {
                  IJEPA_RETURN_IF_ERROR(parts_.before_checkpoint_operation(operation));
                }
                return injector_.BeforeOperation(operation);
              },
          .before_commit =
              [this](const CheckpointInfo& info) { return injector_.BeforeCommit(info); }});
  return CheckSameImages(config_, images_->size(), *peers_);
}

void TrainRun::MakeExchange() {
  const OptimizationConfig& optimization = config_.optimization;
  const std::vector<FlatRange> buckets =
      BucketsOf(learner_->gradient().count - kStepScalars, optimization.bucket_mib);
  exchange_ =
      std::make_unique<GradientExchange>(*peers_, buckets,
                                         ExchangeOptions{.wire = optimization.gradient_wire,
                                                         .scatter = SharesUpdate(config_),
                                                         .overlap = optimization.bucket_mib > 0});
  if (!SharesUpdate(config_)) return;
  // Peers are waited for in the update too.
  const auto timed = [this](const auto& call) {
    learner_->EndSpan(StepSpan::kWork);
    const absl::Duration begin = parts_.clock->Monotonic();
    const absl::Status status = call();
    update_wait_ += parts_.clock->Monotonic() - begin;
    learner_->EndSpan(StepSpan::kPeers);
    return status;
  };
  const auto gather = [this, timed](float* flat) {
    return timed([&] { return exchange_->Gather(flat); });
  };
  const auto sum = [this, timed](float* data, int64_t count) {
    return timed([&] { return peers_->AllReduceSum(data, count); });
  };
  learner_->ShareUpdate({.sum = sum, .gather = gather});
}

absl::StatusOr<bool> TrainRun::OnEveryRank(bool mine) {
  float failures = mine ? 0.0f : 1.0f;
  IJEPA_RETURN_IF_ERROR(peers_->AllReduceSum(&failures, 1));
  return failures == 0.0f;
}

absl::Status TrainRun::Resume() {
  if (known_.empty()) return StartFromGiven();
  const absl::Duration start = parts_.clock->Monotonic();
  IJEPA_ASSIGN_OR_RETURN(step_, RestoreNewestUsable(Scope::kRun));
  if (leads()) {
    const absl::Duration took = parts_.clock->Monotonic() - start;
    host_.Note("RESUMED",
               absl::StrFormat("resumed from %s, read in %.1f s", known_.front(),
                               absl::ToDoubleSeconds(took)),
               step_);
  }
  return absl::OkStatus();
}

// Every rank reads every candidate itself; one counts only when all ranks could use it. Forgets
// those that were not usable. Returns the step of the one that is.
absl::StatusOr<int64_t> TrainRun::RestoreNewestUsable(Scope scope) {
  std::string reasons;
  const size_t candidates = known_.size();
  while (!known_.empty()) {
    const std::string path = known_.front();
    int64_t step = 0;
    absl::Status refused;
    const absl::Status mine = TryRestore(path, scope, step, refused);
    IJEPA_RETURN_IF_ERROR(refused);
    IJEPA_ASSIGN_OR_RETURN(const bool usable, OnEveryRank(mine.ok()));
    if (usable) return step;
    known_.erase(known_.begin());
    const std::string reason = absl::StrCat(
        path, ": ", mine.ok() ? "another rank cannot use it" : std::string(mine.message()));
    ijepa::LogWarning("checkpoint is unusable ", reason);
    if (leads()) host_.Note("CHECKPOINT_UNUSABLE", reason, step);
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", reason);
  }
  return absl::DataLossError(
      absl::StrCat("none of the ", candidates, " committed checkpoints is usable: ", reasons));
}

// A new job's first step; a mistake here is the user's, so there is nothing to fall back to.
absl::Status TrainRun::StartFromGiven() {
  if (config_.checkpoint.start_from.empty()) return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(const RunStart start, StartRun(config_, length_, state()));
  IJEPA_RETURN_IF_ERROR(CheckSameStart(config_, start.step, *peers_));
  step_ = start.step;
  if (leads()) host_.Note("NOTE", start.note, step_);
  return absl::OkStatus();
}

RunFigures TrainRun::Figures() const {
  const int64_t last = std::max<int64_t>(0, step_ - 1);
  return {length_.steps_per_epoch, last_finite_.loss, schedules_->lr(last),
          schedules_->weight_decay(last)};
}

// Returns why the checkpoint is unusable; `refused` is for one that is sound but of another run,
// which ends the run: falling back would hide the mistake.
absl::Status TrainRun::TryRestore(const std::string& path, Scope scope, int64_t& step,
                                  absl::Status& refused) {
  IJEPA_ASSIGN_OR_RETURN(const CheckpointReader checkpoint, CheckpointReader::Open(path));
  step = checkpoint.meta().step;
  refused = CheckSameRun(config_, checkpoint, learner_->ModelLine());
  if (refused.ok() && step > length_.total_steps) {
    refused = absl::FailedPreconditionError(
        absl::StrCat("checkpoint ", path, " is of step ", step, ", this job ends at step ",
                     length_.total_steps, "; has the data shrunk?"));
  }
  IJEPA_RETURN_IF_ERROR(refused);
  return scope == Scope::kRun ? RestoreRun(checkpoint, state()) : learner_->Restore(checkpoint);
}

void TrainRun::StartLoader() {
  LoaderOptions options;
  options.data = config_.data;
  options.seed = config_.seed;
  options.shards = config_.shards;
  options.local_shards = LocalShards(config_);
  options.first_step = step_;
  options.last_step = length_.total_steps;
  options.steps_per_epoch = length_.steps_per_epoch;
  loader_ = NewLoader(options, *images_, host_);
}

// Gives the learner a step. Results are taken as they come: at once on CPU, on CUDA while the
// device works on the next step, so that neither waits for the other.
absl::Status TrainRun::Step(Decisions& decided) {
  const bool measured = health_.Due(step_ + 1);
  if (measured) {
    IJEPA_RETURN_IF_ERROR(TakeResults(0, decided));
    learner_->StartTelemetry();
  }
  const absl::Duration start = parts_.clock->Monotonic();
  learner_->EndSpan(StepSpan::kBegin);
  injector_.BeforeStep(step_ + 1);
  const absl::Duration data_waited = waited_;
  IJEPA_ASSIGN_OR_RETURN(StepOutcome outcome, AccumulateShards());
  if (injector_.Slow(step_ + 1)) IJEPA_RETURN_IF_ERROR(learner_->WaitForDevice());
  const absl::Duration work = parts_.clock->Monotonic() - start - (waited_ - data_waited);
  injector_.AfterWork(step_ + 1, work);
  learner_->EndSpan(StepSpan::kWork);
  const absl::Duration ready = parts_.clock->Monotonic();
  IJEPA_RETURN_IF_ERROR(ShareGradient());
  learner_->EndSpan(StepSpan::kPeers);
  const absl::Duration shared = parts_.clock->Monotonic();
  outcome.rates = {schedules_->lr(step_), schedules_->weight_decay(step_),
                   schedules_->ema_momentum(step_)};
  outcome.measured = measured;
  outcome.start = start;
  update_wait_ = absl::ZeroDuration();
  IJEPA_RETURN_IF_ERROR(learner_->Update(outcome.rates));
  outcome.peer_wait = shared - ready + update_wait_;
  outcome.work = parts_.clock->Monotonic() - start - outcome.peer_wait - (waited_ - data_waited);
  outcome.calls = peers_->given();
  outcome.step = ++step_;
  under_way_.push_back(outcome);
  return TakeResults(measured ? 0 : static_cast<size_t>(learner_->results_left()), decided);
}

// Takes the results of the oldest steps under way until `left` are left.
absl::Status TrainRun::TakeResults(size_t left, Decisions& decided) {
  while (under_way_.size() > left) {
    StepOutcome outcome = under_way_.front();
    under_way_.pop_front();
    // First: what a failed sum led to is not even looked at.
    IJEPA_RETURN_IF_ERROR(peers_->Settle(outcome.calls));
    const absl::Duration asked = parts_.clock->Monotonic();
    IJEPA_ASSIGN_OR_RETURN(const StepResult result, learner_->TakeResult());
    outcome.work += parts_.clock->Monotonic() - asked;
    CountTime(outcome);
    decided.drain = decided.drain || result.scalar(StepScalar::kDrain) > 0;
    decided.save = decided.save || result.scalar(StepScalar::kSave) > 0;
    decided.written_ranks = static_cast<float>(result.scalar(StepScalar::kWritten));
    IJEPA_RETURN_IF_ERROR(Judge(result, outcome));
    if (outcome.measured && outcome.finite) {
      IJEPA_RETURN_IF_ERROR(health_.Take(outcome.step, *learner_, *peers_, host_));
    }
    Report(outcome);
  }
  return absl::OkStatus();
}

void TrainRun::CountTime(const StepOutcome& outcome) {
  const std::optional<StepSeconds> device = learner_->DeviceSeconds();
  computed_ += device.has_value() ? absl::Seconds(device->work) : outcome.work;
  peer_wait_ += device.has_value() ? absl::Seconds(device->peers) : outcome.peer_wait;
}

// Storage that hangs holds a thread of the loader, which could never be joined.
absl::StatusOr<Batch> TrainRun::NextBatch() {
  absl::StatusOr<Batch> batch = loader_->Next();
  if (absl::IsDeadlineExceeded(batch.status())) host_.Leave(batch.status());
  return batch;
}

// Adds the gradient of every local shard; leaves this rank's scalars in the buffer's tail.
absl::StatusOr<StepOutcome> TrainRun::AccumulateShards() {
  StepOutcome outcome;
  IJEPA_ASSIGN_OR_RETURN(const std::vector<MaskBatch> masks, masks_.Sample(step_));
  const double scale = 1.0 / config_.shards;
  const double gradient_scale = scale * injector_.GradientFactor(step_ + 1);
  exchange_->Begin(learner_->gradient());
  for (const MaskBatch& shard_masks : masks) {
    IJEPA_ASSIGN_OR_RETURN(Batch batch, NextBatch());
    if (&shard_masks == &masks.back()) {
      learner_->WatchNextShard([this](int64_t floats) { exchange_->Ready(floats); });
    }
    learner_->EndSpan(StepSpan::kIdle);
    IJEPA_RETURN_IF_ERROR(
        learner_->AccumulateShard(batch, shard_masks, {.gradient = gradient_scale, .loss = scale}));
    learner_->EndSpan(StepSpan::kWork);
    outcome.context_patches += shard_masks.context_patches;
    outcome.target_patches += shard_masks.target_patches;
    loader_->Recycle(std::move(batch));
  }
  outcome.context_patches /= static_cast<int>(masks.size());
  outcome.target_patches /= static_cast<int>(masks.size());
  const absl::Duration waited = loader_->stats().wait;
  learner_->SetScalar(StepScalar::kWritten, saver_->written());
  const bool save_due = leads() && save_interval_->Due(parts_.clock->Monotonic());
  learner_->SetScalar(StepScalar::kSave, save_due ? 1.0f : 0.0f);
  learner_->SetScalar(StepScalar::kDrain, host_.DrainRequested() ? 1.0f : 0.0f);
  learner_->SetScalar(StepScalar::kWait,
                      static_cast<float>(absl::ToDoubleSeconds(waited - waited_)));
  waited_ = waited;
  return outcome;
}

// Ends the sum of the gradient and, in its tail, of what all ranks decide by.
absl::Status TrainRun::ShareGradient() {
  IJEPA_RETURN_IF_ERROR(exchange_->Finish());
  if (!SharesUpdate(config_)) return absl::OkStatus();
  IJEPA_RETURN_IF_ERROR(learner_->SetSquares());
  return exchange_->SumScalars();
}

absl::Status TrainRun::Judge(const StepResult& result, StepOutcome& outcome) {
  outcome.loss = result.scalar(StepScalar::kLoss);
  outcome.gradient_norm = result.gradient_norm;
  outcome.finite = result.updated;
  outcome.wait_seconds = result.scalar(StepScalar::kWait) / config_.world_size;
  if (outcome.finite) {
    last_finite_ = outcome;
    last_finite_loss_ = absl::StrCat(outcome.loss, " at step ", outcome.step);
    return absl::OkStatus();
  }
  const bool of_loss = !std::isfinite(outcome.loss);
  return BearNonFinite(outcome.step,
                       of_loss ? absl::StrCat("the loss is ", outcome.loss)
                               : absl::StrCat("the norm of the gradient is ", outcome.gradient_norm,
                                              "; it must be finite"));
}

// Loss and gradient are sums over ranks, so that all ranks are here in the same step and take the
// same way. The step counts as done: data, masks and schedules go on.
absl::Status TrainRun::BearNonFinite(int64_t step, absl::string_view what) {
  switch (non_finite_.Take(step, what)) {
    case NonFiniteAction::kRollBack:
      if (!known_.empty()) return RollBack(step, what);
      break;  // There is nothing to go back to yet.
    case NonFiniteAction::kSkip:
      break;
    case NonFiniteAction::kFail:
      return absl::OutOfRangeError(absl::StrCat(
          "step ", step, ": ", what, "; last finite loss ", last_finite_loss_,
          config_.faults.non_finite == NonFiniteAction::kFail
              ? ""
              : absl::StrCat("; faults.budget is ", config_.faults.budget, " such steps in ",
                             config_.faults.window_steps, ": ", non_finite_.History()),
          kDiverged));
  }
  if (leads()) {
    host_.Note("NON_FINITE_SKIPPED",
               absl::StrCat("step ", step, ": ", what, "; no update; last finite loss ",
                            last_finite_loss_),
               step);
  }
  return absl::OkStatus();
}

// Only the learner's state goes back. The position does not: the same batches from the same weights
// would end the same way. Updates of steps that are under way are lost with the others.
absl::Status TrainRun::RollBack(int64_t step, absl::string_view what) {
  IJEPA_RETURN_IF_ERROR(FinishSave());  // What is under way is known, and so must be committed.
  IJEPA_ASSIGN_OR_RETURN(const int64_t restored, RestoreNewestUsable(Scope::kLearner));
  host_.EnterPhase(RunPhase::kTraining);
  ++rollbacks_;
  if (!leads()) return absl::OkStatus();
  host_.Note("NON_FINITE_ROLLED_BACK",
             absl::StrCat("step ", step, ": ", what, "; weights are those of step ", restored,
                          " again, the batches of steps ", restored + 1, " to ", step_,
                          " are passed over"),
             step);
  return absl::OkStatus();
}

void TrainRun::Report(const StepOutcome& outcome) {
  const absl::Duration now = parts_.clock->Monotonic();
  const absl::Duration took = now - std::max(outcome.start, reported_);
  reported_ = now;
  rate_.Add(static_cast<double>(GlobalBatch(config_)), took);
  const double seconds = absl::ToDoubleSeconds(took);
  StepReport report;
  report.step = outcome.step;
  report.total_steps = length_.total_steps;
  report.steps_per_epoch = length_.steps_per_epoch;
  report.images_seen = outcome.step * GlobalBatch(config_);
  report.loss = last_finite_.loss;
  report.lr = outcome.rates.lr;
  report.weight_decay = outcome.rates.weight_decay;
  report.ema_momentum = outcome.rates.ema_momentum;
  report.images_per_second = rate_.per_second();
  report.context_patches = outcome.context_patches;
  report.target_patches = outcome.target_patches;
  report.data_wait_share = seconds > 0 ? std::min(1.0, outcome.wait_seconds / seconds) : 0;
  report.bad_images = loader_->stats().bad_images;
  report.data = data_.Read(loader_->stats(), seconds);
  report.gradient_norm = last_finite_.gradient_norm;
  report.telemetry = health_.newest();
  report.non_finite_steps = non_finite_.taken();
  report.non_finite_rollbacks = rollbacks_;
  report.compute_seconds = absl::ToDoubleSeconds(computed_);
  report.peer_wait_seconds = absl::ToDoubleSeconds(peer_wait_);
  host_.ReportStep(report);
}

// The same on every rank.
bool TrainRun::SaveIsDue(const Decisions& decided) const {
  const CheckpointConfig& rules = config_.checkpoint;
  const auto at_every = [&](int64_t steps) { return steps > 0 && step_ % steps == 0; };
  return step_ == length_.total_steps || decided.save || at_every(rules.every_steps) ||
         at_every(rules.keep_every_epochs * length_.steps_per_epoch) ||
         (rules.at_probes && probe_plan_->Due(step_));
}

// Waits for the save before, if that is not committed yet.
absl::Status TrainRun::Save() {
  host_.EnterPhase(RunPhase::kSaving);
  injector_.BeforeSave(step_);
  IJEPA_RETURN_IF_ERROR(saver_->Start(state(), step_));
  if (leads()) save_interval_->Saved(parts_.clock->Monotonic(), saver_->stalled());
  host_.EnterPhase(RunPhase::kTraining);
  known_.insert(known_.begin(), absl::StrCat(config_.checkpoint.folder, "/",
                                             CheckpointFolderName(step_, config_.generation)));
  if (known_.size() > kKnownCheckpoints) known_.resize(kKnownCheckpoints);
  return absl::OkStatus();
}

absl::Status TrainRun::FinishSave() {
  host_.EnterPhase(RunPhase::kSaving);
  return saver_->Finish();
}

absl::Status TrainRun::ProbeIfDue() {
  if (!probe_plan_->Due(step_)) return absl::OkStatus();
  host_.EnterPhase(RunPhase::kProbing);
  IJEPA_ASSIGN_OR_RETURN(std::optional<ProbeReport> report,
                         probes_->Run(*learner_, *peers_, host_, step_));
  if (report.has_value()) {
    report->step = step_;
    report->images_seen = step_ * GlobalBatch(config_);
    host_.ReportProbe(*report);
  }
  probe_plan_->Done(step_);
  host_.EnterPhase(loader_ == nullptr ? RunPhase::kStarting : RunPhase::kTraining);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainOutcome> RunTraining(const TrainConfig& config, RunHost& host,
                                         const TrainParts& parts) {
  return TrainRun(config, host, parts).Run();
}

}  // namespace jepa
