// Every command explains itself, and every example in a help text is a valid command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "absl/strings/str_split.h"
#include "tests/client/program.h"
#include "tests/client/sample_job.h"
#include "tests/fakes/fake_coordinator.h"

namespace ijepa::client {
namespace {

using testing::HasSubstr;

const std::vector<std::vector<std::string>> kCommands = {{},
                                                         {"submit"},
                                                         {"list"},
                                                         {"describe"},
                                                         {"watch"},
                                                         {"logs"},
                                                         {"cancel"},
                                                         {"checkpoints"},
                                                         {"import"},
                                                         {"export"},
                                                         {"nodes"},
                                                         {"nodes", "release"},
                                                         {"data"},
                                                         {"data", "scenes"},
                                                         {"data", "verify"},
                                                         {"data", "stats"},
                                                         {"data", "pack"},
                                                         {"inspect"},
                                                         {"inspect", "masks"},
                                                         {"version"},
                                                         {"completion"}};

// Their examples are not run: FakeCoordinator has no such calls.
const std::vector<std::vector<std::string>> kUnfakedCommands = {
    {"hold"},           {"release"},        {"pause"}, {"resume"},          {"fork"},
    {"explain"},        {"array"},          {"auth"},  {"auth", "create"},  {"auth", "list"},
    {"auth", "status"}, {"auth", "revoke"}, {"admin"}, {"admin", "backup"}, {"admin", "audit"}};

std::string HelpOf(std::vector<std::string> command) {
  command.push_back("--help");
  Output output = RunProgram(command, {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.err, "");
  return output.out;
}

// Lines under "Examples:" in all help texts, each once.
std::set<std::string> Examples() {
  std::set<std::string> examples;
  for (const auto& command : kCommands) {
    for (const std::string& line : Lines(HelpOf(command))) {
      if (line.rfind("  ijepactl ", 0) == 0) examples.insert(line.substr(2));
    }
  }
  return examples;
}

TEST(HelpTest, ListsEveryCommandAndEveryExitCode) {
  std::string help = HelpOf({});
  for (const auto& command : kCommands) {
    if (command.empty()) continue;
    EXPECT_THAT(help, HasSubstr("\n  " + command[0]));
  }
  for (const char* code : {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "124", "130"}) {
    EXPECT_THAT(help, HasSubstr("\n  " + std::string(code) + " ")) << code;
  }
}

TEST(HelpTest, EveryCommandHasAnExample) {
  for (const auto& commands : {kCommands, kUnfakedCommands}) {
    for (const auto& command : commands) {
      EXPECT_THAT(HelpOf(command), HasSubstr("Examples:\n  ijepactl "))
          << testing::PrintToString(command);
    }
  }
}

TEST(HelpTest, EveryExampleIsAValidCommandLine) {
  FakeCoordinator fake;
  fake.AddJob(SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000));
  std::set<std::string> examples = Examples();
  EXPECT_GE(examples.size(), kCommands.size());
  for (const std::string& example : examples) {
    std::vector<std::string> words = absl::StrSplit(example, ' ');
    if (words[1] == "data") continue;  // Writes scenes; its options are tested with the data.
    words.erase(words.begin());
    Output output = RunProgram(words, {.coordinator = fake.address()});
    EXPECT_NE(output.code, 2) << example << "\n" << output.err;
    if (words[0] == "import" || words[0] == "export") continue;  // Their files are not here.
    if (example.find("list --watch") != example.npos) continue;  // Goes on until it is stopped.
    if (words[0] == "submit" || words[0] == "inspect") {
      EXPECT_TRUE(std::filesystem::exists(words[words[0] == "submit" ? 1 : 2])) << example;
    } else {
      EXPECT_EQ(output.code, 0) << example << "\n" << output.err;
    }
  }
}

TEST(HelpTest, CompletionKnowsCommandsAndOptions) {
  Output output = RunProgram({"completion", "bash"}, {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(output.code, 0);
  EXPECT_THAT(output.out, HasSubstr("complete -o default -F _ijepactl ijepactl"));
  EXPECT_THAT(output.out, HasSubstr("--queue-anyway"));
}

}  // namespace
}  // namespace ijepa::client
