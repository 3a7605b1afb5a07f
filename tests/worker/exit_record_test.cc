#include "worker/rank/exit_record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/cord.h"
#include "common/file.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/run_host.h"

namespace ijepa::rank {
namespace {

TEST(ExitRecordTest, AFailureCarriesCodeMessageAndStep) {
  const v1::RankExit record =
      FailureRecord(absl::ResourceExhaustedError("disk full"), 41, absl::UnixEpoch());
  EXPECT_EQ(record.outcome(), v1::RANK_OUTCOME_FAILED);
  EXPECT_EQ(record.exit_code(), kExitFailed);
  EXPECT_EQ(record.status_code(), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(record.message(), "disk full");
  EXPECT_EQ(record.last_step(), 41);
}

TEST(ExitRecordTest, AMessageThatIsNotUtf8OrIsCutInACharacterCanBeReadBack) {
  TemporaryFolder folder;
  const std::string cut = std::string(4095, 'x') + "\xc3\xa9";
  for (const std::string& message : {std::string("caf\xe9.jpg: corrupt"), cut}) {
    const v1::RankExit written = FailureRecord(absl::DataLossError(message), 0, absl::UnixEpoch());
    ASSERT_TRUE(WriteExitRecord(folder.path(), written).ok());
    v1::RankExit record;
    ASSERT_TRUE(record.ParseFromString(*ReadFile(folder.path() + "/exit.pb"))) << message;
    EXPECT_EQ(record.message().substr(0, 3), message.substr(0, 3));
  }
}

TEST(ExitRecordTest, SaysThatALinkOfItsNodeIsTooSlow) {
  absl::Status status = absl::AbortedError("2 of the links too slow");
  EXPECT_FALSE(FailureRecord(status, 0, absl::UnixEpoch()).slow_link());
  status.SetPayload(jepa::kSlowLinkPayload, absl::Cord("culprit"));
  EXPECT_TRUE(FailureRecord(status, 0, absl::UnixEpoch()).slow_link());
}

TEST(ExitRecordTest, IsWrittenWhole) {
  const std::string folder =
      ::testing::TempDir() + "exit_record_test." + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(WriteExitRecord(folder, SuccessRecord(true, 7, absl::UnixEpoch())).ok());
  v1::RankExit record;
  ASSERT_TRUE(record.ParseFromString(*ReadFile(folder + "/exit.pb")));
  EXPECT_EQ(record.outcome(), v1::RANK_OUTCOME_DRAINED);
  EXPECT_EQ(record.exit_code(), kExitSuccess);
}

}  // namespace
}  // namespace ijepa::rank
