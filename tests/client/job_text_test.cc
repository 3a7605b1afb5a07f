// Sections about a job.
#include "client/render/job_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "client/render/spec_diff.h"
#include "tests/client/sample_job.h"

namespace ijepa::client {
namespace {

using testing::HasSubstr;
using testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(kSampleTime + 255);

TEST(JobTextTest, NamesStates) {
  EXPECT_EQ(StateName(v1::JOB_STATE_RUNNING), "RUNNING");
  EXPECT_EQ(ShortName("projects/default/jobs/demo-1"), "demo-1");
  EXPECT_EQ(ShortName("demo-1"), "demo-1");
}

TEST(JobTextTest, TellsTheTimeLeftFromImagesPerSecond) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500);
  EXPECT_EQ(TimeLeft(job.status().progress()), absl::Seconds(50));
  EXPECT_LT(TimeLeft(v1::StepReport()), absl::ZeroDuration());
  EXPECT_DOUBLE_EQ(ProgressShare(job.status().progress()), 0.5);
}

TEST(JobTextTest, ShowsTheFiguresOfAStep) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500);
  EXPECT_EQ(FiguresText(job.status().progress()),
            "loss 0.2  lr 0.001  wd 0.05  ema 0.998  640 images/s  masks 34/9");
  job.mutable_status()->mutable_progress()->set_bad_images(3);
  job.mutable_status()->mutable_progress()->set_data_wait_share(0.25);
  EXPECT_THAT(FiguresText(job.status().progress()), HasSubstr("data wait 25.0 %  bad images 3"));
}

TEST(JobTextTest, ShowsEveryAttemptWithItsCauseAndEvidence) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  AddAttempts(&job);
  EXPECT_EQ(
      AttemptsSection(job.status(), kNow, Terminal()),
      "  GENERATION  OUTCOME    STEPS  DURATION  NODES                 CAUSE\n"
      "           1  FAILED     0-420    1m 30s  node-a x1, node-b x1  CRASH rank 1 on node-b, "
      "signal 9: killed from outside\n"
      "           2  RUNNING  400-600    1m 40s  node-a x1, node-b x1  -\n"
      "  last lines of generation 1:\n"
      "    step 420 loss 0.21\n");
}

TEST(JobTextTest, ShowsTheErrorsOfAGpuWithTheCause) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  AddAttempts(&job);
  job.mutable_status()->mutable_attempts(0)->mutable_failure()->add_xids(31);
  job.mutable_status()->mutable_attempts(0)->mutable_failure()->add_xids(79);
  EXPECT_THAT(AttemptsSection(job.status(), kNow, Terminal()),
              HasSubstr("signal 9, Xid 31, 79: killed from outside"));
}

TEST(JobTextTest, ShowsTheErrorsOfEveryRanksGpu) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  AddAttempts(&job);
  v1::GpuErrors& errors = *job.mutable_status()->mutable_attempts(0)->add_gpu_errors();
  errors.set_rank(0);
  errors.set_node("node-a");
  errors.add_xids(43);
  EXPECT_THAT(AttemptsSection(job.status(), kNow, Terminal()),
              HasSubstr("  generation 1, rank 0 on node-a: its GPU reported Xid 43\n"));
}

TEST(JobTextTest, ShowsWhatWasLearntAgainstTheRandomInitialisation) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000);
  AddProbes(&job);
  EXPECT_EQ(ProbesSection(job.status(), Terminal()),
            "  LABEL  PROBE   CLASSES  IMAGES          RANDOM INIT            STEP 1000   GAIN  "
            "DISJOINT\n"
            "  class  knn          10   5,000  24.4 % [23.4, 25.4]  34.4 % [33.4, 35.4]  +10.0  "
            "yes\n"
            "  class  linear       10   5,000  34.5 % [33.5, 35.5]  44.5 % [43.5, 45.5]  +10.0  "
            "yes\n"
            "  count  linear       10   5,000  50.0 % [49.0, 51.0]  50.5 % [49.5, 51.5]   +0.5  "
            "no\n"
            "  effective rank 7.6 -> 20.0; accuracy with 95 % interval\n");
  EXPECT_EQ(ProbeCurveSection(job.status(), Terminal()),
            "   STEP  IMAGES  class knn  class linear  count linear  EFF. RANK\n"
            "      0       0     24.4 %        34.5 %        50.0 %        7.6\n"
            "    500  32,000     29.4 %        39.5 %        50.2 %       13.8\n"
            "  1,000  64,000     34.4 %        44.5 %        50.5 %       20.0\n");
}

TEST(JobTextTest, ShowsALossOfAccuracyAsOne) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000);
  AddProbes(&job);
  v1::ProbeScore* score = job.mutable_status()->mutable_probes(2)->mutable_scores(0);
  score->set_accuracy(0.10);
  score->set_low(0.09);
  score->set_high(0.11);
  EXPECT_THAT(ProbesSection(job.status(), Terminal()), HasSubstr("-14.4  yes"));
}

TEST(JobTextTest, ShowsAProbeWithoutARandomInitialisationWithoutAGain) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  AddProbes(&job);
  job.mutable_status()->mutable_probes()->DeleteSubrange(1, 2);
  EXPECT_THAT(ProbesSection(job.status(), Terminal()),
              HasSubstr("-  24.4 % [23.4, 25.4]     -  -\n"));
  job.mutable_status()->clear_probes();
  EXPECT_EQ(ProbesSection(job.status(), Terminal()), "");
}

TEST(JobTextTest, ShowsTheNewestEvents) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  *job.mutable_status()->add_events() = SampleEvent(1, "SUBMITTED", "");
  *job.mutable_status()->add_events() = SampleEvent(2, "STARTED", "2 ranks");
  EXPECT_THAT(EventsSection(job.status(), 1, Terminal()), HasSubstr("STARTED"));
  EXPECT_THAT(EventsSection(job.status(), 1, Terminal()), Not(HasSubstr("SUBMITTED")));
  EXPECT_THAT(EventsSection(job.status(), 0, Terminal()), HasSubstr("SUBMITTED"));
}

TEST(JobTextTest, ShowsTheNewestEventOfEveryCodeBeforeMoreOfOne) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  *job.mutable_status()->add_events() = SampleEvent(1, "SUBMITTED", "");
  *job.mutable_status()->add_events() = SampleEvent(2, "WORKER_RECONNECTED", "node-a");
  for (int i = 3; i < 60; ++i) {
    *job.mutable_status()->add_events() = SampleEvent(i, "CHECKPOINT_COMMITTED", absl::StrCat(i));
  }
  const std::string text = EventsSection(job.status(), 5, Terminal());
  EXPECT_THAT(text, HasSubstr("SUBMITTED"));
  EXPECT_THAT(text, HasSubstr("WORKER_RECONNECTED"));
  EXPECT_THAT(text, HasSubstr("CHECKPOINT_COMMITTED  57\n"));
  EXPECT_THAT(text, Not(HasSubstr("CHECKPOINT_COMMITTED  56\n")));
  EXPECT_LT(text.find("WORKER_RECONNECTED"), text.find("  59\n")) << "the newest comes last";
}

TEST(JobTextTest, SaysForHowManyAnEventStands) {
  v1::Event event = SampleEvent(7, "BAD_IMAGE", "a.jpg");
  EXPECT_EQ(EventText(event), "a.jpg");
  event.set_count(38);
  event.mutable_first_time()->set_seconds(1);
  EXPECT_THAT(EventText(event), HasSubstr("a.jpg (38 times since "));
}

TEST(SpecDiffTest, ShowsOnlyWhatIsNotTheDefault) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  job.mutable_spec()->mutable_mask()->set_min_keep(3);
  job.mutable_spec()->mutable_mask()->set_num_pred_masks(4);
  std::string text = SpecDifferences(job.spec()).Render(Terminal());
  EXPECT_THAT(text, HasSubstr("mask.min_keep    3             10\n"));
  EXPECT_THAT(text, HasSubstr("data.batch_size  32            -\n"));
  EXPECT_THAT(text, Not(HasSubstr("num_pred_masks")));
}

TEST(JobTextTest, HealthIsAShortLineOnceItWasMeasured) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500);
  v1::StepReport& progress = *job.mutable_status()->mutable_progress();
  EXPECT_EQ(HealthText(progress), "");
  progress.set_gradient_norm(0.25);
  v1::Telemetry& telemetry = *progress.mutable_telemetry();
  telemetry.set_effective_rank(41.5);
  telemetry.set_max_effective_rank(192);
  telemetry.set_std_mean(0.5);
  telemetry.set_prediction_cosine(0.8125);
  const std::string healthy = "effective rank 41.5/192  std 0.5  cosine 0.812  grad norm 0.25";
  EXPECT_EQ(HealthText(progress), healthy);
  telemetry.set_collapse_suspected(true);
  progress.set_non_finite_steps(3);
  EXPECT_EQ(HealthText(progress), healthy + "  COLLAPSE SUSPECTED  non-finite steps 3");
}

}  // namespace
}  // namespace ijepa::client
