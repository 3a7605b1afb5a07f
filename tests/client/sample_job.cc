// See sample_job.h.
#include "tests/client/sample_job.h"

#include "absl/strings/str_cat.h"

namespace ijepa::client {
namespace {

constexpr int kGlobalBatch = 64;
constexpr int kSteps = 1000;

void AddScore(v1::ProbeReport* report, const std::string& target, const std::string& method,
              double accuracy) {
  v1::ProbeScore* score = report->add_scores();
  score->set_target(target);
  score->set_method(method);
  score->set_accuracy(accuracy);
  score->set_low(accuracy - 0.01);
  score->set_high(accuracy + 0.01);
  score->set_classes(10);
  score->set_images(5000);
}

}  // namespace

v1::Job SampleJob(const std::string& id, v1::JobState state, int64_t step) {
  v1::Job job;
  job.set_name(absl::StrCat("projects/default/jobs/", id));
  job.set_uid("uid-1");
  v1::JobSpec* spec = job.mutable_spec();
  spec->set_name("demo");
  spec->mutable_ranks()->set_min(2);
  spec->mutable_ranks()->set_max(2);
  spec->set_shards(2);
  spec->set_max_restarts(10);
  spec->mutable_data()->set_batch_size(kGlobalBatch / 2);
  spec->mutable_data()->set_path("/data/photos");
  spec->mutable_meta()->set_model_name("vit_tiny");
  v1::JobStatus* status = job.mutable_status();
  status->set_state(state);
  status->mutable_submit_time()->set_seconds(kSampleTime);
  status->mutable_start_time()->set_seconds(kSampleTime + 60);
  status->set_generation(1);
  if (step == 0) return job;
  v1::StepReport* progress = status->mutable_progress();
  progress->set_step(step);
  progress->set_total_steps(kSteps);
  progress->set_steps_per_epoch(100);
  progress->set_images_seen(step * kGlobalBatch);
  progress->set_loss(0.2);
  progress->set_lr(0.001);
  progress->set_weight_decay(0.05);
  progress->set_ema_momentum(0.998);
  progress->set_images_per_second(640);
  progress->set_context_patches(34);
  progress->set_target_patches(9);
  for (int64_t at = 0; at <= step; at += 50) {
    v1::StepReport* point = status->add_curve();
    point->set_step(at + 1);
    point->set_loss(0.2 + 0.3 / (1 + static_cast<double>(at) / 100));
  }
  return job;
}

void AddAttempts(v1::Job* job) {
  v1::JobStatus* status = job->mutable_status();
  status->set_generation(2);
  status->set_restarts(1);
  v1::Attempt* first = status->add_attempts();
  first->set_generation(1);
  first->set_outcome("FAILED");
  first->set_last_step(420);
  first->mutable_start_time()->set_seconds(kSampleTime + 60);
  first->mutable_end_time()->set_seconds(kSampleTime + 150);
  v1::Failure* failure = first->mutable_failure();
  failure->set_failure_class("CRASH");
  failure->set_rank(1);
  failure->set_node("node-b");
  failure->set_signal(9);
  failure->set_message("killed from outside");
  failure->add_log_tail("step 420 loss 0.21");
  v1::Attempt* second = status->add_attempts();
  second->set_generation(2);
  second->set_outcome("RUNNING");
  second->set_first_step(400);
  second->set_last_step(600);
  second->mutable_start_time()->set_seconds(kSampleTime + 155);
  for (v1::Attempt* attempt : {first, second}) {
    for (int rank = 0; rank < 2; ++rank) {
      v1::RankPlacement* placement = attempt->add_placements();
      placement->set_rank(rank);
      placement->set_node(rank == 0 ? "node-a" : "node-b");
    }
  }
}

void AddProbes(v1::Job* job) {
  for (int step : {0, 500, 1000}) {
    v1::ProbeReport* report = job->mutable_status()->add_probes();
    report->set_step(step);
    report->set_images_seen(step * kGlobalBatch);
    report->set_effective_rank(7.6 + 0.0124 * step);
    AddScore(report, "class", "knn", 0.244 + 0.0001 * step);
    AddScore(report, "class", "linear", 0.345 + 0.0001 * step);
    AddScore(report, "count", "linear", 0.5 + 0.000005 * step);
  }
}

v1::Event SampleEvent(int64_t sequence, const std::string& code, const std::string& message) {
  v1::Event event;
  event.set_sequence(sequence);
  event.set_generation(1);
  event.set_code(code);
  event.set_message(message);
  event.mutable_time()->set_seconds(kSampleTime + sequence);
  return event;
}

v1::Checkpoint SampleCheckpoint(int64_t step) {
  v1::Checkpoint checkpoint;
  checkpoint.set_name(absl::StrCat("projects/default/jobs/demo-1/checkpoints/", step, "-1"));
  checkpoint.set_step(step);
  checkpoint.set_generation(1);
  checkpoint.set_images_seen(step * kGlobalBatch);
  checkpoint.set_path(absl::StrCat("/checkpoints/demo-1/", step, "-1"));
  checkpoint.set_bytes(12'900'000);
  checkpoint.mutable_commit_time()->set_seconds(kSampleTime + 200);
  return checkpoint;
}

}  // namespace ijepa::client
