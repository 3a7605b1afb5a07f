// Settings of the coordinator from its command line.
#include "coordinator/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Settings> Read(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"ijepa-coordinator", "--data-dir", "d", "--checkpoint-root", "c"});
  std::vector<char*> arguments;
  for (std::string& flag : flags) arguments.push_back(flag.data());
  return ReadSettings(static_cast<int>(arguments.size()), arguments.data());
}

TEST(SettingsTest, HistoryIsKeptForAsLongAsIsSaid) {
  EXPECT_EQ(Read({})->core.keep_history, absl::Hours(365 * 24));
  EXPECT_EQ(Read({"--keep-history-days", "1.5"})->core.keep_history, absl::Hours(36));
  for (const char* days : {"0", "-1", "36501", "long"}) {
    EXPECT_THAT(std::string(Read({"--keep-history-days", days}).status().message()),
                HasSubstr("keep_history_days is"))
        << days;
  }
}

}  // namespace
}  // namespace ijepa::coordinator
