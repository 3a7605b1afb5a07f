// What is scraped: closed lists of labels, and series of a job only while it is active.
#include "coordinator/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

std::optional<double> Value(const std::vector<prometheus::MetricFamily>& families,
                            const std::string& name, const std::string& label) {
  for (const prometheus::MetricFamily& family : families) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (label.empty() || metric.label.at(0).value == label) return metric.gauge.value;
    }
  }
  return std::nullopt;
}

size_t Series(const std::vector<prometheus::MetricFamily>& families) {
  size_t count = 0;
  for (const prometheus::MetricFamily& family : families) count += family.metric.size();
  return count;
}

TEST(MetricsTest, CountsJobsNodesAndSlots) {
  CoreHarness core;
  core.Connect("node-a", 3);
  core.Submit("job", 2);
  core.RunTo("job", 7);
  core.Submit("waiting", 2);
  const auto families = DescribeState(core.state(), 4);
  EXPECT_EQ(Value(families, "ijepa_coordinator_jobs", "running"), 1);
  EXPECT_EQ(Value(families, "ijepa_coordinator_jobs", "queued"), 1);
  EXPECT_EQ(Value(families, "ijepa_coordinator_jobs", "failed"), 0);
  EXPECT_EQ(Value(families, "ijepa_coordinator_nodes", "ready"), 1);
  EXPECT_EQ(Value(families, "ijepa_coordinator_slots_total", ""), 3);
  EXPECT_EQ(Value(families, "ijepa_coordinator_slots_used", ""), 2);
  EXPECT_EQ(Value(families, "ijepa_coordinator_jobs_waiting", "waiting_for_slots"), 1);
  EXPECT_EQ(Value(families, "ijepa_coordinator_mailbox_depth", ""), 4);
  EXPECT_EQ(Value(families, "ijepa_coordinator_job_step", "job"), 7);
  // One series per reason, zeros included.
  const auto bad = std::find_if(families.begin(), families.end(), [](const auto& family) {
    return family.name == "ijepa_coordinator_job_bad_images";
  });
  ASSERT_NE(bad, families.end());
  EXPECT_EQ(bad->metric.size(), 6u);
}

TEST(MetricsTest, ShowsTheBusBandwidthOfTheLiveAttempt) {
  CoreHarness core;
  core.Connect("node-a", 2);
  core.Submit("job", 2);
  core.RunTo("job", 7);
  constexpr char kName[] = "ijepa_coordinator_job_bus_bandwidth_bytes_per_second";
  EXPECT_EQ(Value(DescribeState(core.state(), 0), kName, "job"), std::nullopt);
  v1::FromRank message;
  message.mutable_network()->set_bus_gigabytes_per_second(20);
  core.FromRank("job", 0, message);
  EXPECT_EQ(Value(DescribeState(core.state(), 0), kName, "job"), 20e9);
}

TEST(MetricsTest, ShowsWhereTheDataPipelineSpendsItsTime) {
  CoreHarness core;
  core.Connect("node-a", 1);
  core.Submit("job", 1);
  core.RunTo("job", 7);
  v1::FromRank message;
  message.mutable_step()->set_step(8);
  message.mutable_step()->set_data_wait_share(0.25);
  v1::DataReport& data = *message.mutable_step()->mutable_data();
  data.set_ready_batches(2);
  data.set_max_batches(3);
  data.set_wait_seconds(12);
  data.set_seconds_per_image(0.5);
  data.set_decode_seconds_per_image(0.375);
  data.set_read_bytes_per_second(1e6);
  core.FromRank("job", 0, message);
  const auto families = DescribeState(core.state(), 0);
  const std::pair<const char*, double> expected[] = {
      {"wait_share", 0.25},          {"ready_batches", 2},   {"max_batches", 3},
      {"wait_seconds", 12},          {"image_seconds", 0.5}, {"decode_seconds", 0.375},
      {"read_bytes_per_second", 1e6}};
  for (const auto& [name, number] : expected) {
    EXPECT_EQ(Value(families, std::string("ijepa_coordinator_job_data_") + name, "job"), number)
        << name;
  }
}

TEST(MetricsTest, HealthOfActiveJobsWithClosedLabels) {
  CoreHarness core;
  core.Connect("node-a", 1);
  core.Submit("job", 1);
  core.RunTo("job", 7);
  EXPECT_EQ(Value(DescribeState(core.state(), 0), "ijepa_coordinator_job_effective_rank", "job"),
            std::nullopt)
      << "not measured yet";
  v1::FromRank message;
  v1::StepReport& step = *message.mutable_step();
  step.set_step(8);
  step.set_non_finite_steps(5);
  step.set_non_finite_rollbacks(2);
  v1::Telemetry& telemetry = *step.mutable_telemetry();
  telemetry.set_step(8);
  telemetry.set_effective_rank(40);
  telemetry.set_pooled_effective_rank(10);
  telemetry.set_std_mean(0.5);
  telemetry.add_encoder_block_gradient_norms(3);
  telemetry.add_encoder_block_gradient_norms(4);
  telemetry.set_collapse_suspected(true);
  core.FromRank("job", 0, message);
  const auto families = DescribeState(core.state(), 0);
  const auto value = [&](const std::string& family, const std::string& label) {
    for (const prometheus::MetricFamily& found : families) {
      if (found.name != "ijepa_coordinator_job_" + family) continue;
      EXPECT_FALSE(found.help.empty()) << family;
      for (const prometheus::ClientMetric& metric : found.metric) {
        if (metric.label.back().value != label) continue;
        return found.type == prometheus::MetricType::Counter ? metric.counter.value
                                                             : metric.gauge.value;
      }
    }
    return -1.0;
  };
  EXPECT_EQ(value("effective_rank", "patch"), 40);
  EXPECT_EQ(value("effective_rank", "pooled"), 10);
  EXPECT_EQ(value("feature_std", "mean"), 0.5);
  EXPECT_EQ(value("gradient_norm", "encoder_blocks"), 5);
  EXPECT_EQ(value("collapse_suspected", "job"), 1);
  EXPECT_EQ(value("non_finite_steps_total", "skip"), 3);
  EXPECT_EQ(value("non_finite_steps_total", "rollback"), 2);
}

TEST(MetricsTest, SeriesDoNotGrowWithTheHistory) {
  CoreHarness core;
  const size_t before = Series(DescribeState(core.state(), 0));
  core.Connect("node-a", 1);
  for (int i = 0; i < 50; ++i) {
    const std::string id = core.Submit("job" + std::to_string(i), 1);
    core.RunTo(id, 1);
    core.Complete("node-a", id);
  }
  EXPECT_EQ(Series(DescribeState(core.state(), 0)), before);
}

}  // namespace
}  // namespace ijepa::coordinator
