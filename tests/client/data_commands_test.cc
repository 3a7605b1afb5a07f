// ijepactl data on folders with files that nobody should have made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/file.h"
#include "tests/client/program.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DataCommandsTest : public testing::Test {
 protected:
  // Makes files that are no images.
  void Spoil(const std::string& name) const {
    ASSERT_TRUE(WriteFileAtomically(folder_.path() + "/" + name, "no image").ok());
  }
  // Renders RGB images.
  std::string Scenes(int count) const {
    const std::string folder = folder_.path() + "/scenes";
    EXPECT_EQ(
        Run({"data", "scenes", folder, "--count", std::to_string(count), "--size", "16"}).code, 0);
    return folder;
  }
  Output Run(const std::vector<std::string>& arguments) const { return RunProgram(arguments, {}); }

  TemporaryFolder folder_;
};

TEST_F(DataCommandsTest, ANameCannotSpeakToTheTerminal) {
  Spoil("\x1b[31mred.jpg");
  const Output output = RunProgram({"data", "verify", folder_.path()}, {.terminal = true});
  EXPECT_EQ(output.code, 1);
  EXPECT_THAT(output.out, AllOf(HasSubstr("\\x1b[31mred.jpg"), Not(HasSubstr("\x1b[31mred"))));
}

TEST_F(DataCommandsTest, ANameThatIsNotUtf8IsStillJson) {
  Spoil("a\xff\x1b.jpg");
  const Output output = Run({"data", "verify", folder_.path(), "-o", "json"});
  EXPECT_EQ(output.code, 1);
  EXPECT_EQ(output.err, "");
  const auto json = nlohmann::json::parse(output.out, nullptr, /*allow_exceptions=*/false);
  ASSERT_FALSE(json.is_discarded()) << output.out;
  EXPECT_EQ(json["bad"][0]["path"], "a\xef\xbf\xbd\x1b.jpg");
}

TEST_F(DataCommandsTest, StatsWithoutAnyReadableImageSayWhyAndFail) {
  const std::string scenes = Scenes(3);
  for (const char* format : {"table", "json"}) {
    const Output output = Run({"data", "stats", scenes, "--channels", "1", "-o", format});
    EXPECT_EQ(output.code, 1);
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, AllOf(HasSubstr("none of 3 images can be used: 3 corrupt"),
                                  HasSubstr("data.channels 1")));
  }
}

TEST_F(DataCommandsTest, StatsNameTheReasonsOfBadImages) {
  Scenes(2);
  Spoil("bad.jpg");
  const Output table = Run({"data", "stats", folder_.path()});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, HasSubstr("images       2 (1 bad: 1 corrupt)\n"));
  const Output output = Run({"data", "stats", folder_.path(), "-o", "json"});
  const auto json = nlohmann::json::parse(output.out, nullptr, /*allow_exceptions=*/false);
  ASSERT_FALSE(json.is_discarded()) << output.out;
  EXPECT_EQ(json["bad_reasons"]["corrupt"], 1);
}

}  // namespace
}  // namespace ijepa::client
