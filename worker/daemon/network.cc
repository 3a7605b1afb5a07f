// See network.h.
#include "worker/daemon/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file.h"

namespace ijepa::worker {
namespace {

constexpr char kLoopback[] = "lo";
constexpr int kMostOfAKind = 64;

// Names in a folder, in order; none where it is not there.
std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A file of /sys without its newline; empty where it cannot be read.
std::string Attribute(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

v1::NetworkInterface ReadInterface(const std::string& folder, const std::string& name) {
  v1::NetworkInterface interface;
  interface.set_name(name);
  // Tunnels and bridges of virtual machines do not know.
  const std::string state = Attribute(absl::StrCat(folder, "/operstate"));
  interface.set_up(state == "up" || state == "unknown");
  int mbps = 0;
  if (absl::SimpleAtoi(Attribute(absl::StrCat(folder, "/speed")), &mbps)) {
    interface.set_mbps(std::max(0, mbps));
  }
  return interface;
}

v1::RdmaPort ReadPort(const std::string& folder, const std::string& device, int number) {
  v1::RdmaPort port;
  port.set_device(device);
  port.set_port(number);
  // "4: ACTIVE", "200 Gb/sec (4X HDR)".
  port.set_active(absl::StartsWith(Attribute(absl::StrCat(folder, "/state")), "4:"));
  const std::string rate = Attribute(absl::StrCat(folder, "/rate"));
  double gbps = 0;
  if (absl::SimpleAtod(rate.substr(0, rate.find(' ')), &gbps) && gbps > 0) port.set_gbps(gbps);
  port.set_link_layer(Attribute(absl::StrCat(folder, "/link_layer")));
  return port;
}

std::string PortName(const v1::RdmaPort& port) {
  return absl::StrCat(port.device(), ":", port.port());
}

// "=mlx5_0:1,mlx5_1:1", or nothing.
std::string ActivePorts(const v1::NodeNetwork& network) {
  for (const char* layer : {"InfiniBand", "Ethernet"}) {
    std::vector<std::string> names;
    for (const v1::RdmaPort& port : network.rdma_ports()) {
      if (port.active() && port.link_layer() == layer) names.push_back(PortName(port));
    }
    if (!names.empty()) return absl::StrCat("=", absl::StrJoin(names, ","));
  }
  return "";
}

bool HasAddress(const sockaddr* address, const std::string& wanted) {
  char text[INET6_ADDRSTRLEN] = {};
  const void* number = nullptr;
  if (address != nullptr && address->sa_family == AF_INET) {
    number = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  } else if (address != nullptr && address->sa_family == AF_INET6) {
    number = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  }
  return number != nullptr &&
         ::inet_ntop(address->sa_family, number, text, sizeof(text)) != nullptr && wanted == text;
}

}  // namespace

std::string InterfaceOf(const std::string& address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return "";
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (HasAddress(entry->ifa_addr, address)) return entry->ifa_name;
  }
  return "";
}

v1::NodeNetwork FindNetwork(const std::string& sys, const std::string& host_address,
                            const std::string& interface) {
  v1::NodeNetwork network;
  network.set_host_address(host_address);
  network.set_interface(interface);
  const std::string interfaces = absl::StrCat(sys, "/class/net");
  for (const std::string& name : NamesIn(interfaces)) {
    if (name == kLoopback || network.interfaces_size() >= kMostOfAKind) continue;
    // Files such as bonding_masters are no interfaces.
    const std::string folder = absl::StrCat(interfaces, "/", name);
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) continue;
    *network.add_interfaces() = ReadInterface(folder, name);
  }
  const std::string devices = absl::StrCat(sys, "/class/infiniband");
  for (const std::string& device : NamesIn(devices)) {
    const std::string ports = absl::StrCat(devices, "/", device, "/ports");
    for (const std::string& port : NamesIn(ports)) {
      int number = 0;
      if (!absl::SimpleAtoi(port, &number) || network.rdma_ports_size() >= kMostOfAKind) continue;
      *network.add_rdma_ports() = ReadPort(absl::StrCat(ports, "/", port), device, number);
    }
  }
  return network;
}

std::string DescribeNetwork(const v1::NodeNetwork& network) {
  std::vector<std::string> parts = {
      absl::StrCat(network.interface().empty() ? "no interface of" : network.interface(), " ",
                   network.host_address())};
  for (const v1::NetworkInterface& interface : network.interfaces()) {
    if (interface.name() != network.interface()) continue;
    if (interface.mbps() > 0) absl::StrAppend(&parts.front(), " ", interface.mbps(), " Mbit/s");
    if (!interface.up()) absl::StrAppend(&parts.front(), " down");
  }
  for (const v1::RdmaPort& port : network.rdma_ports()) {
    parts.push_back(absl::StrCat(PortName(port), " ", port.link_layer(), " ", port.gbps(),
                                 " Gbit/s", port.active() ? "" : " not active"));
  }
  if (network.rdma_ports().empty()) parts.push_back("no RDMA");
  return absl::StrJoin(parts, ", ");
}

std::vector<std::string> NcclVariables(const v1::NodeNetwork& network, const v1::NetworkSpec& job,
                                       const std::function<bool(const std::string&)>& is_set) {
  std::vector<std::string> variables;
  std::set<std::string> decided;
  for (const v1::Label& variable : job.env()) {
    variables.push_back(absl::StrCat(variable.key(), "=", variable.value()));
    decided.insert(variable.key());
  }
  const auto open = [&](const std::string& name) {
    return decided.count(name) == 0 && !is_set(name);
  };
  const std::string& interface = network.interface();
  if (open("NCCL_SOCKET_IFNAME") && !interface.empty() && interface != kLoopback) {
    variables.push_back(absl::StrCat("NCCL_SOCKET_IFNAME==", interface));
  }
  if (open("NCCL_IB_HCA") && open("NCCL_IB_DISABLE") && open("NCCL_NET")) {
    const std::string ports = ActivePorts(network);
    variables.push_back(ports.empty() ? "NCCL_IB_DISABLE=1" : absl::StrCat("NCCL_IB_HCA=", ports));
  }
  return variables;
}

}  // namespace ijepa::worker
