// Known answers of RFC 3720 B.4, and both implementations against each other.
#include "worker/jepa/checkpoint/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace jepa {
namespace {

uint32_t Both(const std::string& data) {
  const uint32_t crc = ExtendCrc32c(0, data.data(), data.size());
  EXPECT_EQ(ExtendCrc32cPortable(0, data.data(), data.size()), crc);
  return crc;
}

TEST(Crc32cTest, EqualsThePublishedAnswers) {
  EXPECT_EQ(Both(""), 0u);
  EXPECT_EQ(Both("123456789"), 0xe3069283u);
  EXPECT_EQ(Both(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Both(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  EXPECT_EQ(Both(ascending), 0x46dd794eu);
}

TEST(Crc32cTest, IsTheSameForEveryLengthAndCut) {
  std::mt19937 random(1);
  std::vector<unsigned char> data(40'000);
  for (auto& byte : data) byte = static_cast<unsigned char>(random());
  for (const size_t size : {size_t{1}, size_t{7}, size_t{8}, size_t{63}, size_t{4096},
                            size_t{12'287}, size_t{12'288}, size_t{24'583}, size_t{40'000}}) {
    const uint32_t whole = ExtendCrc32cPortable(0, data.data(), size);
    EXPECT_EQ(ExtendCrc32c(0, data.data(), size), whole) << size;
    for (int i = 0; i < 8; ++i) {
      const size_t cut = random() % (size + 1);
      const uint32_t first = ExtendCrc32c(0, data.data(), cut);
      EXPECT_EQ(ExtendCrc32c(first, data.data() + cut, size - cut), whole) << size << " " << cut;
    }
  }
}

}  // namespace
}  // namespace jepa
