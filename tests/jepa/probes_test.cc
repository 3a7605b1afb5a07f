// Probes on features whose answer is known.
#include "worker/jepa/eval/probes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

struct Set {
  Features features;
  Labels labels;
};

// `images` points of `classes` Gaussian clouds around random centres at distance `separation`.
Set Clouds(int images, int width, int classes, double separation, uint64_t seed) {
  Set set;
  set.features.images = images;
  set.features.width = width;
  set.labels.name = "class";
  set.labels.classes = classes;
  for (int i = 0; i < images; ++i) {
    const int label = i % classes;
    set.labels.values.push_back(label);
    Philox centre(99, Purpose::kProbe, 1, static_cast<uint64_t>(label));
    Philox noise(seed, Purpose::kProbe, 2, static_cast<uint64_t>(i));
    for (int j = 0; j < width; ++j) {
      const double offset = separation * centre.Normal() / std::sqrt(width);
      set.features.values.push_back(static_cast<float>(offset + noise.Normal()));
    }
  }
  return set;
}

const ProbeScore& Find(const std::vector<ProbeScore>& scores, const std::string& method) {
  for (const ProbeScore& score : scores) {
    if (score.method == method) return score;
  }
  ADD_FAILURE() << "no score of " << method;
  static const ProbeScore none;
  return none;
}

std::vector<ProbeScore> CrossValidated(const Set& set, uint64_t seed = 0) {
  return ScoreProbes(set.features, set.labels, nullptr, nullptr, seed);
}

TEST(ProbesTest, FindsClassesThatAreThere) {
  const Set set = Clouds(1000, 16, 5, 30, 1);
  const std::vector<ProbeScore> scores = CrossValidated(set);
  ASSERT_EQ(scores.size(), 2u);
  for (const ProbeScore& score : scores) {
    EXPECT_GT(score.accuracy, 0.98) << score.method;
    EXPECT_EQ(score.target, "class");
    EXPECT_EQ(score.classes, 5);
    EXPECT_EQ(score.images, 1000);
    EXPECT_LE(score.low, score.accuracy);
    EXPECT_GE(score.high, score.accuracy);
  }
}

TEST(ProbesTest, IsAtChanceOnNoise) {
  const Set set = Clouds(4000, 24, 4, 0, 2);
  for (const ProbeScore& score : CrossValidated(set)) {
    EXPECT_LT(score.low, 0.25) << score.method << " " << score.accuracy;
    EXPECT_GT(score.high, 0.25) << score.method << " " << score.accuracy;
  }
}

// Noise that grows with the number of features: a probe that saw its test rows would be above
// chance.
TEST(ProbesTest, NeverFitsOnWhatItScores) {
  const Set set = Clouds(300, 280, 2, 0, 3);
  for (const ProbeScore& score : CrossValidated(set)) {
    EXPECT_LT(score.low, 0.5) << score.method << " " << score.accuracy;
  }
}

// Only the sum of the features tells the class: cosine neighbours hardly see it, a hyperplane does.
TEST(ProbesTest, FindsALinearRuleThatNeighboursMiss) {
  Set set;
  set.features.images = 2000;
  set.features.width = 40;
  set.labels = {"class", 2, {}};
  Philox random(4, Purpose::kProbe, 3, 0);
  for (int i = 0; i < 2000; ++i) {
    double sum = 0;
    for (int j = 0; j < 40; ++j) {
      const double value = random.Normal();
      sum += value;
      set.features.values.push_back(static_cast<float>(value * (j % 2 == 0 ? 1 : 100)));
    }
    set.labels.values.push_back(sum > 0 ? 1 : 0);
  }
  const std::vector<ProbeScore> scores = CrossValidated(set);
  EXPECT_GT(Find(scores, "linear").accuracy, 0.93);
  EXPECT_LT(Find(scores, "knn").accuracy, 0.85);
}

TEST(ProbesTest, SkipsImagesWithoutALabel) {
  Set set = Clouds(600, 8, 3, 30, 5);
  for (size_t i = 0; i < 600; i += 2) {
    set.labels.values[i] = -1;
    for (size_t j = 0; j < 8; ++j) set.features.values[i * 8 + j] = 1e6f;
  }
  for (const ProbeScore& score : CrossValidated(set)) {
    EXPECT_EQ(score.images, 300);
    EXPECT_GT(score.accuracy, 0.95) << score.method;
  }
}

TEST(ProbesTest, ScoresAnotherSetThanItFitsOn) {
  const Set fit = Clouds(900, 16, 3, 30, 6);
  const Set test = Clouds(300, 16, 3, 30, 7);
  for (const ProbeScore& score :
       ScoreProbes(test.features, test.labels, &fit.features, &fit.labels, 0)) {
    EXPECT_EQ(score.images, 300);
    EXPECT_GT(score.accuracy, 0.98) << score.method;
  }
}

TEST(ProbesTest, GivesTheSameAnswerForTheSameSeed) {
  const Set set = Clouds(500, 12, 4, 2, 8);
  const std::vector<ProbeScore> a = CrossValidated(set, 1);
  const std::vector<ProbeScore> b = CrossValidated(set, 1);
  const std::vector<ProbeScore> c = CrossValidated(set, 2);
  EXPECT_EQ(a[0].accuracy, b[0].accuracy);
  EXPECT_EQ(a[1].accuracy, b[1].accuracy);
  EXPECT_TRUE(a[0].accuracy != c[0].accuracy || a[1].accuracy != c[1].accuracy);
}

// The answer of 20 neighbours is the majority; between equals the nearer one decides.
TEST(ProbesTest, LetsTheNearerNeighbourDecideATie) {
  // Angles from the query at 0: class 1 at 1, 4 degrees, class 0 at 2, 3 degrees.
  const auto set = [](const std::vector<double>& degrees, const std::vector<int32_t>& labels) {
    Set made;
    made.features.images = static_cast<int64_t>(degrees.size());
    made.features.width = 2;
    for (const double angle : degrees) {
      made.features.values.push_back(static_cast<float>(5 * std::cos(angle * M_PI / 180)));
      made.features.values.push_back(static_cast<float>(5 * std::sin(angle * M_PI / 180)));
    }
    made.labels = {"class", 2, labels};
    return made;
  };
  const Set fit = set({1, 2, 3, 4}, {1, 0, 0, 1});
  const Set query = set({0}, {1});
  const auto scores = ScoreProbes(query.features, query.labels, &fit.features, &fit.labels, 0);
  EXPECT_EQ(Find(scores, "knn").accuracy, 1.0);
  const Set majority = set({1, 2, 3, 4}, {1, 0, 0, 0});
  const auto outvoted =
      ScoreProbes(query.features, query.labels, &majority.features, &majority.labels, 0);
  EXPECT_EQ(Find(outvoted, "knn").accuracy, 0.0);
}

TEST(ProbesTest, SurvivesFeaturesThatSayNothing) {
  Set constant = Clouds(100, 6, 2, 0, 9);
  for (float& value : constant.features.values) value = 3.0f;
  for (const ProbeScore& score : CrossValidated(constant)) EXPECT_LT(score.low, 0.51);
  Set broken = Clouds(100, 6, 2, 0, 9);
  broken.features.values[7] = std::numeric_limits<float>::quiet_NaN();
  broken.features.values[70] = std::numeric_limits<float>::infinity();
  broken.features.values[71] = 3e38f;
  for (const ProbeScore& score : CrossValidated(broken)) {
    EXPECT_TRUE(std::isfinite(score.accuracy)) << score.method;
  }
  EXPECT_EQ(EffectiveRank(broken.features), 0);
}

TEST(ProbesTest, HasNoScoreWithoutEnoughLabels) {
  Set set = Clouds(10, 4, 2, 1, 10);
  for (size_t i = 1; i < 10; ++i) set.labels.values[i] = -1;
  EXPECT_TRUE(CrossValidated(set).empty());
  set.labels.values[5] = 1;
  EXPECT_EQ(CrossValidated(set).size(), 2u);
  const Set empty = Clouds(0, 4, 2, 1, 10);
  EXPECT_TRUE(CrossValidated(empty).empty());
  EXPECT_TRUE(ScoreProbes(set.features, set.labels, &empty.features, &empty.labels, 0).empty());
}

TEST(EffectiveRankTest, CountsEqualDirections) {
  // Rows +-e_j: centred, with `rank` equal singular values.
  for (const int rank : {1, 3, 8}) {
    Features features{2 * rank, 10, std::vector<float>(static_cast<size_t>(2 * rank) * 10)};
    for (int j = 0; j < rank; ++j) {
      features.values[static_cast<size_t>(2 * j) * 10 + j] = 2;
      features.values[static_cast<size_t>(2 * j + 1) * 10 + j] = -2;
    }
    EXPECT_NEAR(EffectiveRank(features), rank, 1e-5);
  }
}

TEST(EffectiveRankTest, IgnoresTheMeanAndTheScale) {
  Set set = Clouds(500, 12, 1, 0, 11);
  const double rank = EffectiveRank(set.features);
  EXPECT_GT(rank, 11);
  for (float& value : set.features.values) value = 100 * value + 1000;
  EXPECT_NEAR(EffectiveRank(set.features), rank, 1e-2);
}

TEST(EffectiveRankTest, IsTheSameFromEitherGramMatrix) {
  // 5 images span at most 4 directions around their mean.
  const Set wide = Clouds(5, 50, 1, 0, 12);
  EXPECT_LE(EffectiveRank(wide.features), 4.0001);
  EXPECT_GT(EffectiveRank(wide.features), 3.5);
}

TEST(EffectiveRankTest, IsZeroForACollapsedEncoder) {
  Features features{50, 8, std::vector<float>(400, 0.1f)};
  EXPECT_EQ(EffectiveRank(features), 0);
  EXPECT_EQ(EffectiveRank(Features{0, 8, {}}), 0);
}

// Published examples: Newcombe (1998), table I, method 3.
TEST(WilsonIntervalTest, EqualsPublishedValues) {
  EXPECT_NEAR(WilsonInterval(81, 263).low, 0.2553, 5e-5);
  EXPECT_NEAR(WilsonInterval(81, 263).high, 0.3662, 5e-5);
  EXPECT_NEAR(WilsonInterval(15, 148).low, 0.0624, 5e-5);
  EXPECT_NEAR(WilsonInterval(15, 148).high, 0.1605, 5e-5);
  EXPECT_EQ(WilsonInterval(0, 20).low, 0);
  EXPECT_NEAR(WilsonInterval(0, 20).high, 0.1611, 5e-5);
  EXPECT_EQ(WilsonInterval(29, 29).high, 1);
  EXPECT_NEAR(WilsonInterval(1, 29).low, 0.0061, 5e-5);
}

}  // namespace
}  // namespace jepa
