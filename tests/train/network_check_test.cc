// The judgement of links, and the check among ranks as threads of one process: what a call takes is
// said by a clock per rank that only the test moves, so that a slow link is slow by the same amount
// in every run.
#include "worker/jepa/dist/network_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "tests/fakes/memory_host.h"
#include "tests/fakes/rank_threads.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(20);

NetworkFigures Figures(std::vector<std::string> nodes, std::vector<double> gbps) {
  NetworkFigures figures;
  figures.nodes = std::move(nodes);
  figures.gbps = std::move(gbps);
  figures.judge_within_nodes = true;
  return figures;
}

TEST(JudgeNetworkTest, NamesTheLinkBelowHalfOfTheMedian) {
  const NetworkReport report = JudgeNetwork(Figures({"a", "b", "c", "d"}, {90, 100, 49, 100}), 0);
  ASSERT_EQ(report.slow.size(), 1u);
  EXPECT_EQ(report.slow[0].from_rank, 1);
  EXPECT_EQ(report.slow[0].from_node, "b");
  EXPECT_EQ(report.slow[0].to_rank, 2);
  EXPECT_EQ(report.slow[0].to_node, "c");
  EXPECT_EQ(report.slow[0].gbps, 49);
  EXPECT_EQ(report.slowest.to_rank, 2);
  EXPECT_TRUE(NetworkError(report, 0, 2).ok()) << "without a limit it is named only";
  EXPECT_THAT(JudgeNetwork(Figures({"a", "b", "c", "d"}, {90, 100, 50, 100}), 0).slow, IsEmpty());
}

TEST(JudgeNetworkTest, TwoLinksAreNotCompared) {
  EXPECT_THAT(JudgeNetwork(Figures({"a", "b"}, {1, 100}), 0).slow, IsEmpty());
  EXPECT_EQ(JudgeNetwork(Figures({"a", "b"}, {1, 100}), 2).slow.size(), 1u);
}

TEST(JudgeNetworkTest, LinksBetweenNodesAreNotComparedWithThoseWithin) {
  // Two nodes of four GPUs: NVLink within, a network card between.
  const std::vector<std::string> nodes = {"a", "a", "a", "a", "b", "b", "b", "b"};
  EXPECT_THAT(JudgeNetwork(Figures(nodes, {40, 900, 900, 900, 42, 900, 900, 900}), 0).slow,
              IsEmpty());
  const NetworkReport broken =
      JudgeNetwork(Figures(nodes, {40, 900, 400, 900, 42, 900, 900, 900}), 0);
  ASSERT_EQ(broken.slow.size(), 1u);
  EXPECT_EQ(broken.slow[0].to_rank, 2);
}

TEST(JudgeNetworkTest, RanksOnCpuOfOneNodeHaveNoLinksToCompare) {
  NetworkFigures figures = Figures({"a", "a", "a", "a"}, {10, 2, 10, 10});
  figures.judge_within_nodes = false;
  EXPECT_THAT(JudgeNetwork(figures, 0).slow, IsEmpty());
  EXPECT_EQ(JudgeNetwork(figures, 5).slow.size(), 1u) << "a limit holds for all";
}

// Rank of the one error with the payload among `world`, which all fail; -1 if none has it.
int Blamed(const NetworkReport& report, double min_gbps, int world) {
  int blamed = -1;
  for (int rank = 0; rank < world; ++rank) {
    const absl::Status error = NetworkError(report, min_gbps, rank);
    EXPECT_EQ(error.code(), absl::StatusCode::kAborted);
    if (!error.GetPayload(kSlowLinkPayload).has_value()) continue;
    EXPECT_EQ(blamed, -1) << "two ranks are blamed";
    blamed = rank;
  }
  return blamed;
}

TEST(NetworkErrorTest, BlamesTheNodeThatIsAnEndOfMostSlowLinks) {
  // The links to and from rank 2.
  const NetworkReport report = JudgeNetwork(Figures({"a", "b", "c", "d"}, {100, 100, 8, 5}), 10);
  EXPECT_EQ(Blamed(report, 10, 4), 2);
  EXPECT_THAT(
      std::string(NetworkError(report, 10, 0).message()),
      ::testing::AllOf(HasSubstr("2 of the links too slow"),
                       HasSubstr("rank 2 on c to rank 3 on d: 5 Gbit/s"),
                       HasSubstr("network.min_gbps is 10"), HasSubstr("c is the likely cause")));
}

TEST(NetworkErrorTest, OfTwoNodesBlamesTheOneThatReceives) {
  const NetworkReport report = JudgeNetwork(Figures({"a", "b"}, {100, 3}), 10);
  EXPECT_EQ(Blamed(report, 10, 2), 1);
}

// Time of one rank that stands still but for what its calls are said to take.
class RankClock : public ijepa::Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + time_; }
  absl::Duration Monotonic() override { return time_; }
  void Advance(absl::Duration step) { time_ += step; }

 private:
  absl::Duration time_;
};

// Passes everything on; a call takes `call`, and one over the link to `slow_to` ten times that.
class TimedCommunicator : public Communicator {
 public:
  TimedCommunicator(Communicator& real, RankClock& clock, int slow_to)
      : real_(real), clock_(clock), slow_to_(slow_to) {}

  int rank() const override { return real_.rank(); }
  int world_size() const override { return real_.world_size(); }
  absl::Status AllReduceSum(float* data, int64_t count) override {
    largest = std::max(largest, count);
    clock_.Advance(kCall);
    return real_.AllReduceSum(data, count);
  }
  absl::Status ReduceScatterSum(float* data, int64_t count, Precision wire) override {
    return real_.ReduceScatterSum(data, count, wire);
  }
  absl::Status AllGatherPieces(float* data, int64_t count, Precision wire) override {
    return real_.AllGatherPieces(data, count, wire);
  }
  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return real_.Broadcast(data, count, root);
  }
  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return real_.AllGather(data, count, out);
  }
  absl::Status Pass(float* data, int64_t count, int from, int to) override {
    clock_.Advance(from != to && to == slow_to_ ? 10 * kCall : kCall);
    return real_.Pass(data, count, from, to);
  }
  absl::Status Barrier() override { return real_.Barrier(); }
  void Abort(const absl::Status& why) override { real_.Abort(why); }

  static constexpr absl::Duration kCall = absl::Microseconds(100);
  int64_t largest = 0;  // Floats of an all-reduce.

 private:
  Communicator& real_;
  RankClock& clock_;
  const int slow_to_;
};

// What the ranks of one check said.
struct Checked {
  std::mutex mutex;
  std::map<int, absl::Status> errors;
  std::vector<NetworkReport> reports;
  int64_t largest = 0;
};

// One rank per node, n0, n1, ...; the link to `slow_to` takes ten times what the others take.
void Check(int world, int slow_to, const NetworkConfig& network, Checked& checked) {
  RunRanks(world, kTimeout, [&](Communicator& real) {
    TrainConfig config;
    config.world_size = world;
    config.rank = real.rank();
    config.node = absl::StrCat("n", real.rank());
    config.network = network;
    RankClock clock;
    TimedCommunicator peers(real, clock, slow_to);
    MemoryRendezvous rendezvous;
    MemoryHost host(rendezvous);
    const absl::Status error = CheckNetwork(config, peers, host, clock);
    const std::lock_guard<std::mutex> lock(checked.mutex);
    checked.errors[real.rank()] = error;
    checked.largest = std::max(checked.largest, peers.largest);
    for (const NetworkReport& report : host.networks) checked.reports.push_back(report);
  });
}

class NetworkCheckTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Worlds, NetworkCheckTest, ::testing::Values(3, 4, 5));

TEST_P(NetworkCheckTest, NamesTheSlowLinkWithBothNodesAndGoesOn) {
  const int world = GetParam();
  for (int slow_to = 0; slow_to < world; ++slow_to) {
    Checked checked;
    Check(world, slow_to, {}, checked);
    for (const auto& [rank, error] : checked.errors) EXPECT_TRUE(error.ok()) << error;
    ASSERT_EQ(checked.reports.size(), 1u) << "rank 0 reports, once";
    ASSERT_EQ(checked.reports[0].slow.size(), 1u);
    const NetworkLink& link = checked.reports[0].slow[0];
    const int from = (slow_to + world - 1) % world;
    EXPECT_EQ(link.from_rank, from);
    EXPECT_EQ(link.from_node, absl::StrCat("n", from));
    EXPECT_EQ(link.to_rank, slow_to);
    EXPECT_EQ(link.to_node, absl::StrCat("n", slow_to));
    const double bytes = static_cast<double>(checked.reports[0].bytes);
    EXPECT_NEAR(link.gbps, 8 * bytes / 1e-3 / 1e9, 1e-4 * link.gbps);
    EXPECT_NEAR(checked.reports[0].bus_gigabytes_per_second,
                2.0 * (world - 1) / world * bytes / 1e-4 / 1e9, 1e-4 * bytes);
  }
}

TEST(NetworkCheckLimitTest, EveryRankFailsBelowTheLimitAndOneIsBlamed) {
  Checked checked;
  Check(4, 2, {.check = true, .min_gbps = 20}, checked);
  ASSERT_EQ(checked.reports.size(), 1u);
  const double slow = checked.reports[0].slowest.gbps;
  ASSERT_LT(slow, 20);
  int blamed = 0;
  for (const auto& [rank, error] : checked.errors) {
    EXPECT_EQ(error.code(), absl::StatusCode::kAborted);
    blamed += error.GetPayload(kSlowLinkPayload).has_value() ? 1 : 0;
  }
  EXPECT_EQ(blamed, 1);
  EXPECT_TRUE(checked.errors.at(2).GetPayload(kSlowLinkPayload).has_value());
  Checked without_limit;
  Check(4, 2, {.check = true, .min_gbps = slow / 2}, without_limit);
  for (const auto& [rank, error] : without_limit.errors) EXPECT_TRUE(error.ok()) << error;
}

TEST(NetworkCheckLimitTest, MeasuresNothingWhereItIsOffOrTheRankIsAlone) {
  Checked off;
  Check(2, 1, {.check = false, .min_gbps = 1000}, off);
  Checked alone;
  Check(1, 0, {.check = true, .min_gbps = 1000}, alone);
  for (const Checked* checked : {&off, &alone}) {
    EXPECT_EQ(checked->largest, 0);
    EXPECT_THAT(checked->reports, IsEmpty());
    for (const auto& [rank, error] : checked->errors) EXPECT_TRUE(error.ok()) << error;
  }
}

TEST(NetworkCheckLimitTest, BuffersStayWithinWhatTheEffortAllows) {
  Checked checked;
  Check(2, 2, {}, checked);
  // 64 KiB in 0.1 ms: at 2 ms they may be 20 times as large, and 1 MiB at most.
  EXPECT_EQ(checked.largest * 4, int64_t{1} << 20);
}

}  // namespace
}  // namespace jepa
