// Queues and priority classes from the settings file.
#include "coordinator/queue_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

absl::Status Read(absl::string_view text, SchedulingRules& rules) {
  const auto settings = spec::ReadSettingsWithTables(text, "c.yaml", {}, QueueTables());
  return settings.ok() ? TakeQueues(*settings, rules) : settings.status();
}

std::string Refusal(absl::string_view text) {
  SchedulingRules rules;
  return std::string(Read(text, rules).message());
}

TEST(QueueSettingsTest, ReadsQueuesOverTheDefaultOne) {
  SchedulingRules rules;
  ASSERT_TRUE(Read("queues:\n"
                   "  research: {nominal: 64, borrowing_limit: 32, limit: 96, weight: 2.5,\n"
                   "             time_limit: 48h, priority_class: urgent}\n"
                   "priority_classes:\n"
                   "  urgent: {value: 1000}\n",
                   rules)
                  .ok());
  const QueueRules& research = RulesOf(rules, "research");
  EXPECT_EQ(research.nominal, 64);
  EXPECT_EQ(research.borrowing_limit, 32);
  EXPECT_EQ(research.limit, 96);
  EXPECT_EQ(research.weight, 2.5);
  EXPECT_EQ(research.time_limit, "48h");
  EXPECT_EQ(ClassValue(rules, research.priority_class), 1000);
  EXPECT_EQ(rules.queues.count("default"), 1);
  EXPECT_EQ(ClassValue(rules, "high"), 100);
}

TEST(QueueSettingsTest, NamesTheSettingItsValueAndTheRule) {
  EXPECT_THAT(Refusal("queues:\n  a: {nominal: -1}\n"), HasSubstr("queues.a.nominal is -1; must"));
  EXPECT_THAT(Refusal("queues:\n  a: {nominal: 9, limit: 8}\n"), HasSubstr("at most limit"));
  EXPECT_THAT(Refusal("queues:\n  a: {borrowing_limit: 8}\n"), HasSubstr("only where nominal is"));
  EXPECT_THAT(Refusal("queues:\n  a: {weight: 0}\n"), HasSubstr("queues.a.weight is 0; must"));
  EXPECT_THAT(Refusal("queues:\n  a: {time_limit: 10}\n"), HasSubstr("queues.a.time_limit is"));
  EXPECT_THAT(Refusal("queues:\n  a: {priority_class: urgent}\n"), HasSubstr("urgent; must be"));
  EXPECT_THAT(Refusal("queues:\n  A: {}\n"), HasSubstr("queues is A; must be named"));
  EXPECT_THAT(Refusal("priority_classes:\n  a:\n"),
              HasSubstr("priority_classes.a.value is missing"));
}

}  // namespace
}  // namespace ijepa::coordinator
