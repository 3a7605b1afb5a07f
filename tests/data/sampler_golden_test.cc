// data.rng reference: the published sampler's indices, rank by rank.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/golden/golden.h"
#include "worker/jepa/data/sample_order.h"
#include "worker/jepa/data/sample_view.h"

namespace jepa {
namespace {

using testing::Golden;

struct SamplerCase {
  int64_t images = 0;
  int world = 0;
  int64_t epoch = 0;
  int rank = 0;
};

std::vector<int64_t> IndicesOf(const SamplerCase& about, int64_t count) {
  const SampleOrder order(OrderMode::kReference, 77, about.images);
  const SamplePlan plan{about.world, 1, count};
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) {
    const Sample sample = plan.At(about.epoch * count + i, about.rank, 0);
    EXPECT_EQ(sample.epoch, about.epoch);
    indices.push_back(order.At(sample.epoch, sample.k));
  }
  return indices;
}

void Check(const Golden& golden, const std::string& name) {
  SCOPED_TRACE(name);
  SamplerCase about;
  ASSERT_EQ(std::sscanf(name.c_str(), "n%ld.world%d.epoch%ld.rank%d", &about.images, &about.world,
                        &about.epoch, &about.rank),
            4);
  const std::vector<int64_t> expected = golden.Ints(name);
  int64_t count = static_cast<int64_t>(expected.size());
  const bool checked = golden.json()["checks"].contains(name);
  if (checked) count = golden.json()["checks"][name]["count"];
  const std::vector<int64_t> got = IndicesOf(about, count);
  ASSERT_GE(got.size(), expected.size());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), got.begin()));
  if (!checked) return;
  int64_t sum = 0, weighted = 0;
  for (int64_t j = 0; j < count; ++j) {
    sum += got[j];
    weighted += got[j] * (j % 1009);
  }
  EXPECT_EQ(sum, golden.json()["checks"][name]["sum"].get<int64_t>());
  EXPECT_EQ(weighted, golden.json()["checks"][name]["weighted"].get<int64_t>());
}

TEST(SamplerGoldenTest, ReferenceOrderEqualsThePublishedSampler) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "e_schedules");
  int checked = 0;
  for (const Golden& golden : goldens) {
    for (const std::string& name : golden.TensorNames()) {
      if (name.find(".world") == std::string::npos) continue;
      Check(golden, name);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace jepa
