// Daemon settings: what is accepted, and that every refusal names the place.
#include "proto/spec/settings_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ijepa::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const std::vector<std::string> kKeys = {"listen", "data_dir", "slots"};

std::string Refusal(absl::string_view text) {
  return std::string(ReadSettings(text, "worker.yaml", kKeys).status().message());
}

TEST(SettingsReaderTest, KeepsValuesAsText) {
  const auto settings =
      ReadSettings("listen: 127.0.0.1:7440\nslots: 02\ndata_dir: \"/a b\"\n", "f", kKeys);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(*settings, ElementsAre(Pair("data_dir", "/a b"), Pair("listen", "127.0.0.1:7440"),
                                     Pair("slots", "02")));
}

TEST(SettingsReaderTest, TakesAnEmptyFileAndAKeyWithoutValueAsAbsent) {
  EXPECT_THAT(*ReadSettings("", "f", kKeys), IsEmpty());
  EXPECT_THAT(*ReadSettings("# only a comment\n", "f", kKeys), IsEmpty());
  EXPECT_THAT(*ReadSettings("slots:\nlisten: ~\n", "f", kKeys), IsEmpty());
}

TEST(SettingsReaderTest, NamesThePlaceAndTheNearestKey) {
  EXPECT_EQ(Refusal("slots: 2\nlissten: x\n"),
            "worker.yaml:2:1: lissten is not a key; nearest is listen");
  EXPECT_EQ(Refusal("slots: 2\nslots: 3\n"),
            "worker.yaml:2:1: slots is given twice; first in line 1; keep one");
  EXPECT_EQ(Refusal("slots: [1, 2]\n"),
            "worker.yaml:1:8: slots is a list or a map; must be one value");
  EXPECT_EQ(Refusal("- a\n"), "worker.yaml:1:1: must be lines of `key: value`");
  EXPECT_THAT(Refusal("slots: [1\nlisten: }\n"), HasSubstr("worker.yaml:"));
}

TEST(SettingsReaderTest, ReadsTablesOfEntries) {
  const std::vector<SettingsTable> tables = {{"queues", {"nominal", "weight"}}};
  const auto read = [&](absl::string_view text) {
    return ReadSettingsWithTables(text, "c.yaml", kKeys, tables);
  };
  const auto settings = read("slots: 2\nqueues:\n  a: {nominal: 4}\n  b:\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->values.at("slots"), "2");
  EXPECT_EQ(settings->tables.at("queues").at("a").at("nominal"), "4");
  EXPECT_THAT(settings->tables.at("queues").at("b"), IsEmpty());
  EXPECT_EQ(read("queues:\n  a: {weigth: 4}\n").status().message(),
            "c.yaml:2:7: weigth is not a key; nearest is weight");
  EXPECT_EQ(read("queues: 3\n").status().message(), "c.yaml:1:9: must be lines of `key: value`");
  EXPECT_EQ(read("queues:\n  a: {weight: [1]}\n").status().message(),
            "c.yaml:2:15: weight is a list or a map; must be one value");
}

}  // namespace
}  // namespace ijepa::spec
