// Machines as folders of /sys.
#include "worker/daemon/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fakes/temporary_folder.h"

namespace ijepa::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kAddress[] = "10.0.0.7";

class NetworkTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = sys_.path() + "/" + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text << "\n";
  }
  void AddInterface(const std::string& name, const std::string& state, const std::string& speed) {
    Write("class/net/" + name + "/operstate", state);
    if (!speed.empty()) Write("class/net/" + name + "/speed", speed);
  }
  void AddPort(const std::string& device, const std::string& state, const std::string& rate,
               const std::string& layer) {
    const std::string port = "class/infiniband/" + device + "/ports/1/";
    Write(port + "state", state);
    Write(port + "rate", rate);
    Write(port + "link_layer", layer);
  }
  v1::NodeNetwork Find(const std::string& interface = "eth0") {
    return FindNetwork(sys_.path(), kAddress, interface);
  }
  static bool NoneIsSet(const std::string&) { return false; }

  const TemporaryFolder sys_;
};

TEST_F(NetworkTest, ListsInterfacesWithStateAndSpeed) {
  AddInterface("lo", "unknown", "");
  AddInterface("eth0", "up", "25000");
  AddInterface("eth1", "down", "-1");
  AddInterface("tun0", "unknown", "");
  Write("class/net/bonding_masters", "");
  const v1::NodeNetwork network = Find();
  ASSERT_EQ(network.interfaces_size(), 3) << network.DebugString();
  EXPECT_EQ(network.interfaces(0).name(), "eth0");
  EXPECT_TRUE(network.interfaces(0).up());
  EXPECT_EQ(network.interfaces(0).mbps(), 25000);
  EXPECT_FALSE(network.interfaces(1).up());
  EXPECT_EQ(network.interfaces(1).mbps(), 0);
  EXPECT_TRUE(network.interfaces(2).up());
  EXPECT_EQ(network.host_address(), kAddress);
  EXPECT_EQ(network.interface(), "eth0");
  EXPECT_EQ(DescribeNetwork(network), "eth0 10.0.0.7 25000 Mbit/s, no RDMA");
}

TEST_F(NetworkTest, ListsRdmaPortsWithStateRateAndLinkLayer) {
  AddPort("mlx5_0", "4: ACTIVE", "200 Gb/sec (4X HDR)", "InfiniBand");
  AddPort("mlx5_1", "1: DOWN", "2.5 Gb/sec (1X SDR)", "InfiniBand");
  const v1::NodeNetwork network = Find();
  ASSERT_EQ(network.rdma_ports_size(), 2);
  EXPECT_EQ(network.rdma_ports(0).device(), "mlx5_0");
  EXPECT_EQ(network.rdma_ports(0).port(), 1);
  EXPECT_TRUE(network.rdma_ports(0).active());
  EXPECT_EQ(network.rdma_ports(0).gbps(), 200);
  EXPECT_EQ(network.rdma_ports(0).link_layer(), "InfiniBand");
  EXPECT_FALSE(network.rdma_ports(1).active());
  EXPECT_EQ(network.rdma_ports(1).gbps(), 2.5);
}

TEST_F(NetworkTest, AMachineWithoutTheseFoldersHasAnAddressOnly) {
  const v1::NodeNetwork network = Find("");
  EXPECT_EQ(network.interfaces_size(), 0);
  EXPECT_EQ(network.rdma_ports_size(), 0);
  EXPECT_EQ(DescribeNetwork(network), "no interface of 10.0.0.7, no RDMA");
  EXPECT_THAT(NcclVariables(network, {}, NoneIsSet), ElementsAre("NCCL_IB_DISABLE=1"));
}

TEST_F(NetworkTest, NcclGetsTheInterfaceAndTheActivePortsExactly) {
  AddPort("mlx5_0", "4: ACTIVE", "400 Gb/sec (4X NDR)", "InfiniBand");
  AddPort("mlx5_1", "2: INIT", "400 Gb/sec (4X NDR)", "InfiniBand");
  AddPort("mlx5_2", "4: ACTIVE", "400 Gb/sec (4X NDR)", "InfiniBand");
  AddPort("mlx5_3", "4: ACTIVE", "25 Gb/sec (1X EDR)", "Ethernet");
  EXPECT_THAT(NcclVariables(Find(), {}, NoneIsSet),
              ElementsAre("NCCL_SOCKET_IFNAME==eth0", "NCCL_IB_HCA==mlx5_0:1,mlx5_2:1"));
}

TEST_F(NetworkTest, EthernetPortsCountWhereThereIsNoInfiniBand) {
  AddPort("mlx5_0", "4: ACTIVE", "100 Gb/sec (4X EDR)", "Ethernet");
  AddPort("mlx5_1", "1: DOWN", "100 Gb/sec (4X EDR)", "InfiniBand");
  EXPECT_THAT(NcclVariables(Find(), {}, NoneIsSet),
              ElementsAre("NCCL_SOCKET_IFNAME==eth0", "NCCL_IB_HCA==mlx5_0:1"));
}

TEST_F(NetworkTest, WhatTheWorkersEnvironmentOrTheJobSaysStays) {
  AddPort("mlx5_0", "4: ACTIVE", "100 Gb/sec (4X EDR)", "Ethernet");
  const auto set = [](const std::string& wanted) {
    return [wanted](const std::string& name) { return name == wanted; };
  };
  EXPECT_THAT(NcclVariables(Find(), {}, set("NCCL_SOCKET_IFNAME")),
              ElementsAre("NCCL_IB_HCA==mlx5_0:1"));
  for (const char* decided : {"NCCL_IB_HCA", "NCCL_IB_DISABLE", "NCCL_NET"}) {
    EXPECT_THAT(NcclVariables(Find(), {}, set(decided)), ElementsAre("NCCL_SOCKET_IFNAME==eth0"));
  }
  v1::NetworkSpec job;
  v1::Label& variable = *job.add_env();
  variable.set_key("NCCL_IB_DISABLE");
  variable.set_value("1");
  EXPECT_THAT(NcclVariables(Find(), job, set("NCCL_SOCKET_IFNAME")),
              ElementsAre("NCCL_IB_DISABLE=1"));
}

TEST_F(NetworkTest, NcclChoosesByItselfWhereOthersReachTheNodeByLoopback) {
  EXPECT_THAT(NcclVariables(Find("lo"), {}, NoneIsSet), ElementsAre("NCCL_IB_DISABLE=1"));
}

TEST(InterfaceOfTest, IsTheOneThatHasTheAddress) {
  EXPECT_EQ(InterfaceOf("127.0.0.1"), "lo");
  EXPECT_EQ(InterfaceOf("192.0.2.1"), "") << "an address for documentation";
  EXPECT_EQ(InterfaceOf("node-a"), "");
}

}  // namespace
}  // namespace ijepa::worker
