#include "common/utf8.h"

#include <gtest/gtest.h>

namespace ijepa {
namespace {

TEST(Utf8Test, ValidTextStaysAsItIs) {
  // The first and the last character of each length, and the ends of the gap of the surrogates.
  for (const char* text :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "caf\xc3\xa9.jpg"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_EQ(ToUtf8(text), text);
  }
  EXPECT_EQ(ToUtf8(absl::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Utf8Test, EveryByteOfNoSequenceIsReplaced) {
  const std::string mark = "\xef\xbf\xbd";
  const struct {
    std::string text;
    std::string valid;
  } cases[] = {
      {"caf\xe9.jpg", "caf" + mark + ".jpg"},       // Latin-1.
      {"\x80", mark},                               // A continuation alone.
      {"a\xc3", "a" + mark},                        // Cut in the middle of a character.
      {"\xe2\x82", mark + mark},                    //
      {"\xf0\x9f\x98x", mark + mark + mark + "x"},  // A good character after it stays.
      {"\xc0\xaf", mark + mark},                    // Overlong.
      {"\xe0\x9f\xbf", mark + mark + mark},         //
      {"\xf0\x8f\xbf\xbf", mark + mark + mark + mark},
      {"\xed\xa0\x80", mark + mark + mark},             // A surrogate.
      {"\xf4\x90\x80\x80", mark + mark + mark + mark},  // Above U+10FFFF.
      {"\xff\xc3\xa9", mark + "\xc3\xa9"},
  };
  for (const auto& [text, valid] : cases) {
    EXPECT_FALSE(IsUtf8(text)) << valid;
    EXPECT_EQ(ToUtf8(text), valid);
    EXPECT_TRUE(IsUtf8(ToUtf8(text)));
  }
}

}  // namespace
}  // namespace ijepa
