#include "worker/rank/nccl_environment.h"

#include <gtest/gtest.h>

namespace ijepa::rank {
namespace {

TEST(NcclEnvironmentTest, ListsTheVariablesOfNcclInOrderOfName) {
  const char* const some[] = {"PATH=/bin", "NCCL_SOCKET_IFNAME==eth0", "NCCL_IB_DISABLE=1",
                              "XNCCL_A=1", nullptr};
  EXPECT_EQ(NcclEnvironment(some), "NCCL_IB_DISABLE=1 NCCL_SOCKET_IFNAME==eth0");
  EXPECT_EQ(NcclEnvironment(some + 3), "none");
}

}  // namespace
}  // namespace ijepa::rank
