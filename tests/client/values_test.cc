// Values of the command line, and the place in a log.
#include "client/commands/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/log_cursor.h"

namespace ijepa::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ValuesTest, ReadsRanksAndRanges) {
  EXPECT_THAT(*ParseRanks("0,3-5,4"), ElementsAre(0, 3, 4, 5));
  EXPECT_THAT(*ParseRanks("all"), IsEmpty());
  for (const char* wrong : {"", "a", "3-1", "-1", "1,", "0-99999", "1-2-3"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseRanks(wrong).status())) << wrong;
  }
}

TEST(ValuesTest, ReadsDurations) {
  EXPECT_EQ(*ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("2.5"), absl::Seconds(2.5));
  for (const char* wrong : {"", "0", "-1s", "soon"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDuration(wrong).status())) << wrong;
  }
}

TEST(ValuesTest, MakesRequestIdsOfTheirOwn) {
  std::string id = NewRequestId();
  EXPECT_THAT(id, testing::MatchesRegex(
                      "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(id, NewRequestId());
}

v1::LogLine LineOf(int rank, const std::string& text) {
  v1::LogLine line;
  line.set_rank(rank);
  line.set_generation(1);
  line.set_text(text);
  return line;
}

TEST(LogCursorTest, SkipsWhatWasPrintedOfEachRankAfterARestart) {
  LogCursor cursor(/*tail=*/false);
  EXPECT_TRUE(cursor.Take(LineOf(0, "a")));
  EXPECT_TRUE(cursor.Take(LineOf(0, "a")));
  EXPECT_TRUE(cursor.Take(LineOf(1, "a")));
  cursor.Restart();
  EXPECT_FALSE(cursor.Take(LineOf(0, "a")));
  EXPECT_FALSE(cursor.Take(LineOf(1, "a")));
  EXPECT_TRUE(cursor.Take(LineOf(1, "a")));
  EXPECT_FALSE(cursor.Take(LineOf(0, "a")));
  EXPECT_TRUE(cursor.Take(LineOf(0, "a")));
}

TEST(LogCursorTest, FindsItsPlaceByTheLastLinesWhenOnlyTheTailWasRead) {
  LogCursor cursor(/*tail=*/true);
  EXPECT_TRUE(cursor.Take(LineOf(0, "step 5")));
  EXPECT_TRUE(cursor.Take(LineOf(0, "saved")));
  cursor.Restart();
  EXPECT_FALSE(cursor.Take(LineOf(0, "saved")));
  EXPECT_FALSE(cursor.Take(LineOf(0, "step 5")));
  EXPECT_FALSE(cursor.Take(LineOf(0, "saved")));
  EXPECT_TRUE(cursor.Take(LineOf(0, "step 6")));
  EXPECT_TRUE(cursor.Take(LineOf(1, "of another rank")));
  cursor.Restart();
  for (const char* text : {"saved", "step 5", "saved", "step 6"}) {
    EXPECT_FALSE(cursor.Take(LineOf(0, text)));
  }
  EXPECT_TRUE(cursor.Take(LineOf(0, "step 7")));
}

}  // namespace
}  // namespace ijepa::client
