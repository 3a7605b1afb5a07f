#include "worker/daemon/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "worker/daemon/nvml.h"

namespace ijepa::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class InventoryTest : public ::testing::Test {
 protected:
  InventoryTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/proc");
    std::filesystem::create_directories(root_ + "/dev");
    Write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu avx2 avx512f amx_bf16\n");
  }
  ~InventoryTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + "/" + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void AddGpus(int count) {
    for (int i = 0; i < count; ++i) Write("dev/nvidia" + std::to_string(i), "");
    Write("dev/nvidiactl", "");
    Write("dev/nvidia-uvm", "");
    Write("proc/driver/nvidia/gpus/0000:01:00.0/information",
          "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ: 1\n");
  }
  Inventory Take(const char* visible = nullptr) {
    return TakeInventory({.proc = root_ + "/proc",
                          .dev = root_ + "/dev",
                          .nvml = FAKE_NVML,
                          .visible_devices = visible});
  }

  const std::string root_ = ::testing::TempDir() + "inventory_test." + std::to_string(::getpid());
};

TEST_F(InventoryTest, TakesCoresWhereThereIsNoGpu) {
  const Inventory inventory = Take();
  EXPECT_THAT(inventory.devices, IsEmpty());
  EXPECT_EQ(inventory.gpu_model, "");
  EXPECT_EQ(inventory.compute_capability, "");
  EXPECT_GE(inventory.cpu_cores, 1);
  EXPECT_EQ(*SlotCount("auto", inventory), inventory.cpu_cores);
  EXPECT_EQ(*SlotCount("7", inventory), 7);
}

TEST_F(InventoryTest, CountsGpusAndNamesTheirModel) {
  AddGpus(2);
  const Inventory inventory = Take();
  EXPECT_THAT(inventory.devices, ElementsAre("0", "1"));
  EXPECT_EQ(inventory.gpu_model, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(*SlotCount("auto", inventory), 2);
  EXPECT_EQ(SlotCount("3", inventory).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(InventoryTest, AsksTheDriverForTheLowestComputeCapability) {
  AddGpus(3);
  EXPECT_EQ(Take().compute_capability, "8.6");
  EXPECT_EQ(ComputeCapability("libno-such-driver.so.1"), "");
}

TEST_F(InventoryTest, TakesOnlyTheDevicesThatAreVisible) {
  AddGpus(4);
  EXPECT_THAT(Take("1,3").devices, ElementsAre("1", "3"));
  EXPECT_THAT(Take("").devices, IsEmpty());
}

TEST_F(InventoryTest, ListsTheInstructionSetsThatMatter) {
  EXPECT_THAT(Take().cpu_features, ElementsAre("avx2", "avx512f", "amx_bf16"));
}

TEST_F(InventoryTest, RefusesSlotsThatAreNoNumber) {
  for (const char* slots : {"", "0", "-1", "many", "1.5", "100000"}) {
    EXPECT_EQ(SlotCount(slots, Take()).status().code(), absl::StatusCode::kInvalidArgument)
        << slots;
  }
}

TEST(GpuErrorsTest, TellsTheXidOfEachSlotOnce) {
  const std::string file = ::testing::TempDir() + "gpu_errors." + std::to_string(::getpid());
  std::ofstream(file) << "1 79\n0 48\n2 31\n";
  ::setenv("FAKE_NVML_ERRORS", file.c_str(), 1);
  const auto errors = GpuErrors::Listen(FAKE_NVML, {"0", "GPU-two", "1", "MIG-part"});
  ASSERT_NE(errors, nullptr);
  const std::vector<GpuErrors::Error> found = errors->Poll();
  ASSERT_EQ(found.size(), 2u) << "GPU 0 does not take listeners";
  EXPECT_EQ(found[0].slot, 2);
  EXPECT_EQ(found[0].xid, 79);
  EXPECT_EQ(found[1].slot, 1);
  EXPECT_EQ(found[1].xid, 31);
  EXPECT_THAT(errors->Poll(), IsEmpty());
  ::unsetenv("FAKE_NVML_ERRORS");
  std::filesystem::remove(file);
}

TEST(GpuErrorsTest, IsNothingWithoutADriverOrAGpuToListenTo) {
  EXPECT_EQ(GpuErrors::Listen("/no/such/library.so", {"0"}), nullptr);
  EXPECT_EQ(GpuErrors::Listen(FAKE_NVML, {}), nullptr);
  EXPECT_EQ(GpuErrors::Listen(FAKE_NVML, {"0", "GPU-none"}), nullptr);
}

}  // namespace
}  // namespace ijepa::worker
