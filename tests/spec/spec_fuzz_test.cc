// Random damage to valid files: reading, resolving and validating never crash, and what is read
// writes back to the same. Deterministic; a failure names its seed and text.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "proto/spec/settings_reader.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

constexpr int kSeeds = 8000;

std::vector<std::string> Corpus() {
  std::vector<std::string> corpus = {kSmallestJob};
  for (const char* folder : {"configs/published", "configs/jobs", "configs"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".yaml") continue;
      corpus.push_back(*ReadFile(entry.path().string()));
    }
  }
  return corpus;
}

// Bytes and words that mean something to YAML.
const char* const kTokens[] = {
    "&a ",   "*a",      "- ",   "? ",         ": ",          "{",     "}",           "[",    "]",
    ",",     "|",       ">",    "!!str ",     "%YAML 9.9\n", "---\n", "...\n",       "'",    "\"",
    "\\x00", "\\ud800", "#",    "\n  ",       "\t",          "<<: ",  "~",           "null", "-1",
    "1e999", "NaN",     ".inf", "2147483648", "0.0",         "\xff",  "\xef\xbb\xbf"};

class Damage {
 public:
  explicit Damage(int seed) : random_(static_cast<unsigned>(seed)) {}

  std::string Apply(std::string text, const std::string& other) {
    const int times = 1 + Below(6);
    for (int i = 0; i < times; ++i) Once(&text, other);
    return text;
  }

 private:
  int Below(size_t bound) { return static_cast<int>(random_() % std::max<size_t>(bound, 1)); }

  void Once(std::string* text, const std::string& other) {
    const size_t at = Below(text->size());
    const size_t length = Below(40);
    switch (Below(6)) {
      case 0:
        if (!text->empty()) (*text)[at] = static_cast<char>(Below(256));
        return;
      case 1:
        text->erase(at, length);
        return;
      case 2:
        text->insert(at, text->substr(Below(text->size()), length));
        return;
      case 3:
        text->insert(at, other.substr(Below(other.size()), length));
        return;
      case 4:
        text->resize(at);
        return;
      default:
        text->insert(at, kTokens[Below(std::size(kTokens))]);
    }
  }

  std::mt19937 random_;
};

void Exercise(const std::string& text) {
  const auto spec = ReadJobSpec(text, "fuzz.yaml");
  (void)ReadSettings(text, "fuzz.yaml", {"listen", "node"});
  if (!spec.ok()) {
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
    return;
  }
  const auto again = ReadJobSpec(WriteJobSpec(*spec), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.status() << "\n" << WriteJobSpec(*spec);
  EXPECT_TRUE(Same(*again, *spec)) << WriteJobSpec(*spec);
  v1::JobSpec resolved = *spec;
  ResolveDefaults(&resolved);
  const absl::Status status = Validate(resolved);
  EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument) << status;
  v1::JobSpec from_wire;
  EXPECT_TRUE(from_wire.ParseFromString(resolved.SerializeAsString()));
}

TEST(SpecFuzzTest, DamagedFilesNeverCrash) {
  const std::vector<std::string> corpus = Corpus();
  for (int seed = 0; seed < kSeeds && !::testing::Test::HasFailure(); ++seed) {
    const std::string& base = corpus[seed % corpus.size()];
    const std::string text = Damage(seed).Apply(base, corpus[(seed / 7) % corpus.size()]);
    SCOPED_TRACE(absl::StrCat("seed ", seed, "\n", text));
    Exercise(text);
  }
}

TEST(SpecFuzzTest, DamagedSettingsNeverCrash) {
  for (int seed = 0; seed < 2000 && !::testing::Test::HasFailure(); ++seed) {
    const std::string text = Damage(seed).Apply("mask.pred_mask_scale=[0.15, 0.2]", "a.b=1");
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", text));
    v1::JobSpec spec = *ReadJobSpec(kSmallestJob, "small.yaml");
    const v1::JobSpec before = spec;
    EXPECT_TRUE(ApplySetting(&spec, text).ok() || Same(spec, before));
  }
}

}  // namespace
}  // namespace ijepa::spec
