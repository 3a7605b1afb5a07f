// The renderer, character by character.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "client/render/format.h"
#include "client/render/message.h"
#include "client/render/plot.h"
#include "client/render/table.h"
#include "client/render/terminal.h"
#include "tests/client/sample_job.h"

namespace ijepa::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Terminal Pipe() { return Terminal(); }

Terminal Screen(int width, bool color) {
  Terminal terminal;
  terminal.tty = true;
  terminal.color = color;
  terminal.width = width;
  return terminal;
}

TEST(FormatTest, GroupsDigits) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatCount(-1234), "-1,234");
}

TEST(FormatTest, KeepsNumbersShort) {
  EXPECT_EQ(FormatNumber(0.123456), "0.1235");
  EXPECT_EQ(FormatNumber(1.5e-5), "1.5e-05");
  EXPECT_EQ(FormatNumber(41.26), "41.3");
  EXPECT_EQ(FormatNumber(412.3), "412");
  EXPECT_EQ(FormatNumber(123456.7), "123,457");
  EXPECT_EQ(FormatNumber(NAN), "nan");
}

TEST(FormatTest, NamesSizesAndSpans) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(DurationText(absl::Seconds(-5)), "0s");
  EXPECT_EQ(DurationText(absl::Seconds(59.9)), "59s");
  EXPECT_EQ(DurationText(absl::Seconds(192)), "3m 12s");
  EXPECT_EQ(DurationText(absl::Minutes(303)), "5h 03m");
  EXPECT_EQ(DurationText(absl::Hours(52)), "2d 4h");
  EXPECT_EQ(FormatAge(absl::Now(), google::protobuf::Timestamp()), "-");
}

TEST(TableTest, AlignsColumnsAndLeavesNoTrailingSpace) {
  Table table({{"NAME"}, {"SLOTS", Align::kRight}, {"NOTE"}});
  table.AddRow({"a", "8", "x"});
  table.AddRow({"node-long", "16", ""});
  EXPECT_EQ(table.Render(Pipe()),
            "NAME       SLOTS  NOTE\n"
            "a              8  x\n"
            "node-long     16\n");
  EXPECT_EQ(table.Render(Pipe(), 2).substr(0, 6), "  NAME");
}

TEST(TableTest, CountsColumnsByCodePointsNotBytes) {
  Table table({{"A"}, {"B"}});
  table.AddRow({"\xC3\xA9\xC3\xA9", "1"});
  table.AddRow({"xx", "2"});
  EXPECT_EQ(table.Render(Pipe()), "A   B\n\xC3\xA9\xC3\xA9  1\nxx  2\n");
}

TEST(TableTest, CutsTheLastColumnToTheScreenButNothingInAPipe) {
  Table table({{"K"}, {"MESSAGE"}});
  table.AddRow({"k", "a message that is too long"});
  EXPECT_EQ(table.Render(Screen(14, false)), "K  MESSAGE\nk  a message \xE2\x80\xA6\n");
  EXPECT_THAT(table.Render(Pipe()), HasSubstr("too long\n"));
  Terminal ascii = Screen(14, false);
  ascii.utf8 = false;
  EXPECT_THAT(table.Render(ascii), HasSubstr("k  a messag...\n"));
}

TEST(TableTest, PaintsOnlyWithColor) {
  Table table({{"STATE"}, {"N"}});
  table.AddRow({{"FAILED", Tone::kBad}, "1"});
  EXPECT_THAT(table.Render(Pipe()), Not(HasSubstr("\x1b")));
  EXPECT_THAT(table.Render(Screen(80, true)), HasSubstr("\x1b[31mFAILED\x1b[0m  1\n"));
}

TEST(PlotTest, DrawsBars) {
  EXPECT_EQ(Bar(0.5, 8, false), "[####----]");
  EXPECT_EQ(Bar(2, 2, false), "[##]");
  EXPECT_EQ(Bar(NAN, 2, false), "[--]");
  EXPECT_EQ(Bar(0.5, 2, true), "[\xE2\x96\x88\xE2\x96\x91]");
}

TEST(PlotTest, DrawsSparklines) {
  EXPECT_EQ(Sparkline({0, 7, 3.5, NAN}, false), "_#+ ");
  EXPECT_EQ(Sparkline({1, 8}, true), "\xE2\x96\x81\xE2\x96\x88");
  EXPECT_EQ(Sparkline({}, true), "");
}

TEST(PlotTest, DrawsACurveWithItsRange) {
  EXPECT_THAT(Curve({{0, 4}, {1, 3}, {2, 2}, {3, 1}}, {4, 4}, false),
              ElementsAre("4 |*", "  | *", "  |  *", "1 |   *"));
  EXPECT_THAT(Curve({{0, 1}, {3, 0}}, {2, 2}, true),
              ElementsAre("1 \xE2\x94\x82\xE2\xA2\xA3", "0 \xE2\x94\x82 \xE2\xA2\xA3"))
      << "braille dots";
}

TEST(PlotTest, LeavesOutWhatIsNotANumberAndSurvivesFlatCurves) {
  EXPECT_THAT(Curve({{0, NAN}, {1, 2}}, {4, 4}, false), IsEmpty());
  EXPECT_EQ(Curve({{0, 2}, {1, 2}, {2, INFINITY}}, {4, 3}, false).size(), 3u);
  EXPECT_EQ(Curve({{5, 2}, {5, 3}}, {4, 3}, false).size(), 3u);
}

TEST(PrintableTest, ShowsWhatATerminalWouldActUpon) {
  EXPECT_EQ(Printable("plain \xC3\xA9 \xE2\x80\xA6"), "plain \xC3\xA9 \xE2\x80\xA6");
  EXPECT_EQ(Printable("\x1b[31m\r\a\x7f"), "\\x1b[31m\\x0d\\x07\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m\xC2\xA0"),
            "\\x9b31m\xC2\xA0");
  EXPECT_EQ(Printable("a\nb\tc"), "a b c");
  EXPECT_EQ(Printable("\xff\xC2"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(TruncateTest, CutsAtCodePoints) {
  EXPECT_EQ(Truncate("abc", 3, true), "abc");
  EXPECT_EQ(Truncate("\xC3\xA9\xC3\xA9\xC3\xA9", 2, true), "\xC3\xA9\xE2\x80\xA6");
  EXPECT_EQ(Truncate("abcdef", 5, false), "ab...");
}

TEST(MessageTest, PrintsProtobufJson) {
  v1::LogLine line;
  line.set_text("a");
  line.mutable_time()->set_seconds(kSampleTime);
  absl::StatusOr<std::string> json = ToJson(line, /*compact=*/true);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(*json,
            "{\"rank\":0,\"generation\":\"0\",\"text\":\"a\",\"time\":\"2026-01-02T03:04:05Z\"}\n");
}

TEST(MessageTest, ReplacesWhatIsNoUtf8WhereverItIs) {
  v1::Job job;
  job.set_uid("\xff");
  job.mutable_status()->add_attempts()->mutable_failure()->add_log_tail("a\xff");
  const absl::StatusOr<std::string> json = ToJson(job, /*compact=*/true);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_THAT(*json, HasSubstr("\"uid\":\"\xEF\xBF\xBD\""));
  EXPECT_THAT(*json, HasSubstr("\"logTail\":[\"a\xEF\xBF\xBD\"]"));
}

TEST(MessageTest, PrintsTheSameDocumentAsYaml) {
  absl::StatusOr<std::string> yaml = JsonToYaml(
      R"({"a": "x", "b": [1, {"c": true, "d": "yes"}], "e": {}, "f": {"g": "12", "h": "k: v"},)"
      R"( "i": [[1, 2], []], "j": "", "k": null})");
  ASSERT_TRUE(yaml.ok());
  EXPECT_EQ(*yaml,
            "a: x\n"
            "b:\n"
            "  - 1\n"
            "  - c: true\n"
            "    d: \"yes\"\n"
            "e: {}\n"
            "f:\n"
            "  g: \"12\"\n"
            "  h: \"k: v\"\n"
            "i:\n"
            "  - - 1\n"
            "    - 2\n"
            "  - []\n"
            "j: \"\"\n"
            "k: null\n");
  EXPECT_FALSE(JsonToYaml("{").ok());
}

}  // namespace
}  // namespace ijepa::client
