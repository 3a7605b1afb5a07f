// How this machine is connected, and what NCCL is told of it. Says what is there; chooses only what
// NCCL would have to guess: the interface by which others reach this node, and whether there is
// RDMA.
#ifndef IJEPA_WORKER_DAEMON_NETWORK_H_
#define IJEPA_WORKER_DAEMON_NETWORK_H_

#include <functional>
#include <string>
#include <vector>

#include "ijepa/v1/cluster.pb.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::worker {

// The interface that has `address`, a numeric IPv4 or IPv6 address; empty if none has.
std::string InterfaceOf(const std::string& address);

// Looks below `sys`, which is /sys but in tests. What it does not find it leaves out; a port or
// interface that cannot be read is down and without speed. `interface` is that of `host_address`.
v1::NodeNetwork FindNetwork(const std::string& sys, const std::string& host_address,
                            const std::string& interface);

// "eth0 10.0.0.7 25000 Mbit/s, mlx5_0:1 InfiniBand 200 Gbit/s", for the log.
std::string DescribeNetwork(const v1::NodeNetwork& network);

// NAME=VALUE, to add to the environment of a rank: all of job.env, and of these what neither
// job.env nor the worker's own environment (`is_set`) decides:
//   NCCL_SOCKET_IFNAME  exactly the interface of the host address; not for a loopback
//   NCCL_IB_HCA         exactly the active ports, InfiniBand's where there are some, else RoCE's
//   NCCL_IB_DISABLE     1 where no port is active
// The last two stay away also where NCCL_NET is decided.
std::vector<std::string> NcclVariables(const v1::NodeNetwork& network, const v1::NetworkSpec& job,
                                       const std::function<bool(const std::string&)>& is_set);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_NETWORK_H_
