// Checkpoints of every format version stay readable: one of each lies in tests/checkpoint/versions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/checkpoint/manifest.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string FolderOf(int version) {
  return absl::StrCat(IJEPA_CHECKPOINT_VERSIONS, "/v", version, "/step-000000000042.g3");
}

class CheckpointVersionTest : public ::testing::TestWithParam<int> {};

// What every one of them holds.
TEST_P(CheckpointVersionTest, IsReadWhole) {
  const absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(FolderOf(GetParam()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const CheckpointMeta& meta = reader->meta();
  EXPECT_EQ(meta.job_uid, "kept");
  EXPECT_EQ(meta.generation, 3);
  EXPECT_EQ(meta.step, 42);
  EXPECT_EQ(meta.images_seen, 42 * 2048);
  EXPECT_EQ(meta.model, "a model");
  EXPECT_THAT(meta.values, ElementsAre(std::pair("seed", "7")));

  std::vector<float> weight(6);
  ASSERT_TRUE(reader->Read("encoder/weight", TensorType::kFloat32, {2, 3}, weight.data()).ok());
  EXPECT_THAT(weight, ElementsAre(0.5f, -1.0f, 2.25f, 1e-30f, 3e38f, -0.0f));
  int64_t step = 0;
  ASSERT_TRUE(reader->Read("optimizer/step", TensorType::kInt64, {}, &step).ok());
  EXPECT_EQ(step, 42);
  std::vector<uint8_t> bytes(3);
  ASSERT_TRUE(reader->Read("bytes", TensorType::kUint8, {3}, bytes.data()).ok());
  EXPECT_THAT(bytes, ElementsAre(0, 127, 255));
}

INSTANTIATE_TEST_SUITE_P(Versions, CheckpointVersionTest,
                         ::testing::Range(1, kCheckpointVersion + 1));

TEST(CheckpointNewerVersionTest, IsRefusedByItsNumber) {
  const ijepa::TemporaryFolder folder;
  const std::string copy = folder.path() + "/step-000000000042.g3";
  std::filesystem::copy(FolderOf(kCheckpointVersion), copy);
  std::ifstream in(copy + "/manifest.json");
  std::string manifest{std::istreambuf_iterator<char>(in), {}};
  const std::string newer = absl::StrCat("\"version\":", kCheckpointVersion + 1);
  ASSERT_GT(absl::StrReplaceAll({{absl::StrCat("\"version\": ", kCheckpointVersion), newer},
                                 {absl::StrCat("\"version\":", kCheckpointVersion), newer}},
                                &manifest),
            0);
  std::ofstream(copy + "/manifest.json") << manifest;
  const absl::Status status = CheckpointReader::Open(copy).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(kCheckpointVersion + 1)));
}

}  // namespace
}  // namespace jepa
