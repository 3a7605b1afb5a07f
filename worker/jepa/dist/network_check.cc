// See network_check.h.
#include "worker/jepa/dist/network_check.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr size_t kNameFloats = 64;
constexpr size_t kMinLinksToCompare = 3;
constexpr double kSlowShare = 0.5;  // Of the median.
constexpr size_t kMaxNamed = 16;

// Sizes in bytes; an all-reduce of the largest size that `budget` lets one take. `rounds` after one
// that opens connections are measured and the best counts: with three there are 4 all-reduces and
// 3 x 4 passes, each half of one's time, about 10 budgets. Between CPU ranks, which share cores,
// what costs is that all wait for all, and one round must do.
struct Effort {
  int64_t first;
  int64_t largest;
  double budget;  // Seconds.
  int rounds;
};
constexpr Effort kCpuEffort = {int64_t{64} << 10, int64_t{1} << 20, 0.002, 1};
constexpr Effort kCudaEffort = {int64_t{4} << 20, int64_t{64} << 20, 0.2, 3};

// Where the numbers go: on the device where there is one.
class Buffer {
 public:
  Buffer(Communicator& peers, int64_t bytes)
      : peers_(peers), count_(bytes / static_cast<int64_t>(sizeof(float))) {}
  ~Buffer() {
    // Gives the memory back.
    if (on_device_) static_cast<void>(peers_.Borrow(0));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  absl::Status Make() {
    IJEPA_ASSIGN_OR_RETURN(data_, peers_.Borrow(count_));
    on_device_ = data_ != nullptr;
    if (on_device_) return absl::OkStatus();
    host_.resize(static_cast<size_t>(count_));
    data_ = host_.data();
    return absl::OkStatus();
  }
  float* data() { return data_; }
  int64_t count() const { return count_; }

 private:
  Communicator& peers_;
  const int64_t count_;
  float* data_ = nullptr;
  bool on_device_ = false;
  std::vector<float> host_;
};

// A time that can be divided by.
double Seconds(absl::Duration duration) { return std::max(1e-9, absl::ToDoubleSeconds(duration)); }

// Best time of an all-reduce of this rank.
absl::StatusOr<double> TimeAllReduce(Buffer& buffer, int rounds, Communicator& peers,
                                     ijepa::Clock& clock) {
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round <= rounds; ++round) {
    const absl::Duration start = clock.Monotonic();
    IJEPA_RETURN_IF_ERROR(peers.AllReduceSum(buffer.data(), buffer.count()));
    if (round > 0) best = std::min(best, Seconds(clock.Monotonic() - start));
  }
  return best;
}

// In which phase a rank sends to the next one: no rank is on two links of a phase.
int PhaseOf(int sender, int world) {
  const bool odd_one = world % 2 == 1 && sender == world - 1;
  return odd_one ? 2 : sender % 2;
}

// Best time in which this rank received the buffer from the one before it.
absl::StatusOr<double> TimeLink(Buffer& buffer, int rounds, Communicator& peers,
                                ijepa::Clock& clock) {
  const int rank = peers.rank();
  const int world = peers.world_size();
  const int before = (rank + world - 1) % world;
  double best = std::numeric_limits<double>::infinity();
  for (int phase = 0; phase < 2 + world % 2; ++phase) {
    const bool sends = PhaseOf(rank, world) == phase;
    const bool receives = PhaseOf(before, world) == phase;
    const int from = receives ? before : rank;
    const int to = sends ? (rank + 1) % world : rank;
    for (int round = 0; round <= rounds; ++round) {
      IJEPA_RETURN_IF_ERROR(peers.Barrier());
      const absl::Duration start = clock.Monotonic();
      IJEPA_RETURN_IF_ERROR(peers.Pass(buffer.data(), buffer.count(), from, to));
      if (receives && round > 0) best = std::min(best, Seconds(clock.Monotonic() - start));
    }
  }
  return best;
}

// The largest time of all ranks.
absl::StatusOr<double> Slowest(double mine, Communicator& peers) {
  const float one = static_cast<float>(mine);
  std::vector<float> all(static_cast<size_t>(peers.world_size()));
  IJEPA_RETURN_IF_ERROR(peers.AllGather(&one, 1, all.data()));
  return *std::max_element(all.begin(), all.end());
}

// Every rank's number and name.
absl::Status GatherFigures(double gbps, const std::string& node, Communicator& peers,
                           NetworkFigures& figures) {
  constexpr size_t kFloats = kNameFloats + 1;
  std::vector<float> mine(kFloats);
  mine[0] = static_cast<float>(gbps);
  for (size_t i = 0; i < std::min(node.size(), kNameFloats); ++i) {
    mine[i + 1] = static_cast<float>(static_cast<unsigned char>(node[i]));
  }
  std::vector<float> all(kFloats * static_cast<size_t>(peers.world_size()));
  IJEPA_RETURN_IF_ERROR(peers.AllGather(mine.data(), kFloats, all.data()));
  for (size_t at = 0; at < all.size(); at += kFloats) {
    figures.gbps.push_back(all[at]);
    std::string& name = figures.nodes.emplace_back();
    for (size_t i = 1; i < kFloats && all[at + i] != 0; ++i) {
      name.push_back(static_cast<char>(static_cast<unsigned char>(all[at + i])));
    }
  }
  return absl::OkStatus();
}

bool Within(const NetworkLink& link) { return link.from_node == link.to_node; }

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string Describe(const NetworkLink& link) {
  return absl::StrFormat("rank %d on %s to rank %d on %s: %.3g Gbit/s", link.from_rank,
                         link.from_node, link.to_rank, link.to_node, link.gbps);
}

// The rank to blame for `bad`, which is not empty, slowest first.
int Culprit(const std::vector<NetworkLink>& bad) {
  std::map<std::string, int> ends;
  for (const NetworkLink& link : bad) {
    ++ends[link.to_node];
    if (!Within(link)) ++ends[link.from_node];
  }
  int culprit = bad.front().to_rank;
  int most = 0;
  for (const NetworkLink& link : bad) {
    for (const auto& [rank, node] :
         {std::pair(link.to_rank, link.to_node), std::pair(link.from_rank, link.from_node)}) {
      if (ends[node] <= most) continue;
      most = ends[node];
      culprit = rank;
    }
  }
  return culprit;
}

}  // namespace

absl::StatusOr<NetworkFigures> MeasureNetwork(const TrainConfig& config, Communicator& peers,
                                              ijepa::Clock& clock) {
  const absl::Duration start = clock.Monotonic();
  const bool cuda = config.device == Device::kCuda;
  const Effort effort = cuda ? kCudaEffort : kCpuEffort;
  double first = 0;
  {
    Buffer small(peers, effort.first);
    IJEPA_RETURN_IF_ERROR(small.Make());
    IJEPA_ASSIGN_OR_RETURN(const double mine, TimeAllReduce(small, 1, peers, clock));
    IJEPA_ASSIGN_OR_RETURN(first, Slowest(mine, peers));
  }
  NetworkFigures figures;
  figures.judge_within_nodes = cuda;
  const double fitting = static_cast<double>(effort.first) * effort.budget / first;
  figures.bytes = static_cast<int64_t>(std::clamp(fitting, static_cast<double>(effort.first),
                                                  static_cast<double>(effort.largest))) /
                  4096 * 4096;
  Buffer buffer(peers, figures.bytes);
  IJEPA_RETURN_IF_ERROR(buffer.Make());
  IJEPA_ASSIGN_OR_RETURN(const double mine, TimeAllReduce(buffer, effort.rounds, peers, clock));
  IJEPA_ASSIGN_OR_RETURN(const double slowest, Slowest(mine, peers));
  const double world = peers.world_size();
  const double bytes = static_cast<double>(figures.bytes);
  figures.bus_gigabytes_per_second = 2 * (world - 1) / world * bytes / slowest / 1e9;
  IJEPA_ASSIGN_OR_RETURN(const double link, TimeLink(buffer, effort.rounds, peers, clock));
  IJEPA_RETURN_IF_ERROR(GatherFigures(8 * bytes / link / 1e9, config.node, peers, figures));
  figures.seconds = absl::ToDoubleSeconds(clock.Monotonic() - start);
  return figures;
}

NetworkReport JudgeNetwork(const NetworkFigures& figures, double min_gbps) {
  NetworkReport report;
  report.bus_gigabytes_per_second = figures.bus_gigabytes_per_second;
  report.bytes = figures.bytes;
  report.seconds = figures.seconds;
  std::vector<NetworkLink> links;
  std::map<bool, std::vector<double>> kinds;
  const int world = static_cast<int>(figures.gbps.size());
  for (int to = 0; to < world; ++to) {
    const int from = (to + world - 1) % world;
    links.push_back({from, figures.nodes[static_cast<size_t>(from)], to,
                     figures.nodes[static_cast<size_t>(to)],
                     figures.gbps[static_cast<size_t>(to)]});
    kinds[Within(links.back())].push_back(links.back().gbps);
  }
  const double medians[] = {Median(kinds[false]), Median(kinds[true])};
  const auto share = [&](const NetworkLink& link) {
    return link.gbps / std::max(1e-9, medians[Within(link) ? 1 : 0]);
  };
  std::stable_sort(links.begin(), links.end(),
                   [&](const NetworkLink& a, const NetworkLink& b) { return share(a) < share(b); });
  if (links.empty()) return report;
  report.slowest = links.front();
  for (const NetworkLink& link : links) {
    const bool comparable = kinds[Within(link)].size() >= kMinLinksToCompare &&
                            (figures.judge_within_nodes || !Within(link));
    const bool slow = link.gbps < min_gbps || (comparable && share(link) < kSlowShare);
    if (slow && report.slow.size() < kMaxNamed) report.slow.push_back(link);
  }
  return report;
}

absl::Status NetworkError(const NetworkReport& report, double min_gbps, int rank) {
  std::vector<NetworkLink> bad;
  for (const NetworkLink& link : report.slow) {
    if (link.gbps < min_gbps) bad.push_back(link);
  }
  if (bad.empty()) return absl::OkStatus();
  std::stable_sort(bad.begin(), bad.end(),
                   [](const NetworkLink& a, const NetworkLink& b) { return a.gbps < b.gbps; });
  const int culprit = Culprit(bad);
  std::string node;
  for (const NetworkLink& link : bad) {
    if (link.to_rank == culprit) node = link.to_node;
    if (link.from_rank == culprit) node = link.from_node;
  }
  absl::Status error = absl::AbortedError(absl::StrCat(
      "the network check found ", bad.size(), " of the links too slow, ", Describe(bad.front()),
      "; network.min_gbps is ", min_gbps, ", and ", node,
      " is the likely cause; look at its interfaces (ijepactl nodes -o yaml) or lower the limit"));
  if (rank == culprit) error.SetPayload(kSlowLinkPayload, absl::Cord("culprit"));
  return error;
}

absl::Status CheckNetwork(const TrainConfig& config, Communicator& peers, RunHost& host,
                          ijepa::Clock& clock) {
  if (!config.network.check || peers.world_size() == 1) return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(const NetworkFigures figures, MeasureNetwork(config, peers, clock));
  const NetworkReport report = JudgeNetwork(figures, config.network.min_gbps);
  if (peers.rank() == 0) {
    ijepa::LogInfo("network check bus_gigabytes_per_second=", report.bus_gigabytes_per_second,
                   " bytes=", report.bytes, " seconds=", report.seconds,
                   " slowest_link=", Describe(report.slowest), " slow_links=", report.slow.size());
    host.ReportNetwork(report);
  }
  return NetworkError(report, config.network.min_gbps, peers.rank());
}

}  // namespace jepa
