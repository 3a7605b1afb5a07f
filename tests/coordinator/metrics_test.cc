// What is scraped: closed lists of labels, and series of a job only while it is active.
#include "coordinator/metrics.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(Value(families, "ijepa_coordinator_mailbox_depth", ""), 4);
  EXPECT_EQ(Value(families, "ijepa_coordinator_job_step", "job"), 7);
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
