#include "common/log.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ijepa {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LogTest, WritesOneLineWithLevelAndProgram) {
  InitLog("testing");
  ::testing::internal::CaptureStderr();
  LogWarning("node=", 3, " first\nsecond");
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(line, EndsWith(" W testing] node=3 first second\n"));
}

TEST(LogTest, DropsWhatIsBelowTheLevel) {
  InitLog("testing", LogLevel::kWarning);
  ::testing::internal::CaptureStderr();
  LogInfo("quiet");
  LogError("loud");
  const std::string lines = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(lines, Not(HasSubstr("quiet")));
  EXPECT_THAT(lines, HasSubstr("loud"));
}

}  // namespace
}  // namespace ijepa
