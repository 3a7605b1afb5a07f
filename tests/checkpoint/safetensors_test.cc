// Files from outside: what is well formed is read, everything else is refused by name.
#include "worker/jepa/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;

std::string File(const std::string& json, const std::string& data) {
  std::string bytes(8, '\0');
  const uint64_t length = json.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json + data;
}

class SafetensorsTest : public ::testing::Test {
 protected:
  SafetensorsTest()
      : path_(absl::StrCat(::testing::TempDir(), "safetensors_test.", ::getpid(), ".",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~SafetensorsTest() override { std::filesystem::remove(path_); }

  absl::StatusOr<SafetensorsFile> Open(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return SafetensorsFile::Open(path_);
  }

  const std::string path_;
};

absl::Status Parse(const std::string& json, uint64_t data_bytes) {
  return ParseSafetensorsHeader(json, data_bytes).status();
}

TEST_F(SafetensorsTest, ReadsTensorsOfEveryType) {
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},)"
      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("c":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
      R"("d":{"dtype":"I32","shape":[1],"data_offsets":[24,28]},)"
      R"("e":{"dtype":"U8","shape":[3],"data_offsets":[28,31]},)"
      R"("f":{"dtype":"BOOL","shape":[1],"data_offsets":[31,32]},)"
      R"("g":{"dtype":"F32","shape":[0,7],"data_offsets":[32,32]}}   )";
  std::string data(32, '\0');
  const std::vector<float> floats = {1.5f, -2.0f};
  const int64_t integer = -7;
  std::memcpy(data.data(), floats.data(), 8);
  std::memcpy(data.data() + 8, &integer, 8);
  absl::StatusOr<SafetensorsFile> file = Open(File(json, data));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 7u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  ASSERT_NE(file->Find("a"), nullptr);
  EXPECT_EQ(file->Find("a")->shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(file->Find("x"), nullptr);
  std::vector<float> got(2);
  ASSERT_TRUE(file->Read(*file->Find("a"), got.data()).ok());
  EXPECT_EQ(got, floats);
  int64_t got_integer = 0;
  ASSERT_TRUE(file->Read(*file->Find("b"), &got_integer).ok());
  EXPECT_EQ(got_integer, integer);
}

TEST_F(SafetensorsTest, RefusesLengthsThatTheFileDoesNotHave) {
  EXPECT_TRUE(absl::IsNotFound(SafetensorsFile::Open("/nonexistent/x").status()));
  EXPECT_TRUE(absl::IsDataLoss(Open("").status()));
  EXPECT_TRUE(absl::IsDataLoss(Open("1234567").status()));
  EXPECT_TRUE(absl::IsDataLoss(Open(std::string(8, '\xff')).status()));
  std::string longer = File("{}", "");
  longer[0] = 3;
  EXPECT_TRUE(absl::IsDataLoss(Open(longer).status()));
  EXPECT_TRUE(Open(File("{}", "")).ok());
}

TEST_F(SafetensorsTest, SaysThatTheFileBecameShorter) {
  const std::string json = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  absl::StatusOr<SafetensorsFile> file = Open(File(json, "abcd"));
  ASSERT_TRUE(file.ok()) << file.status();
  std::filesystem::resize_file(path_, 8 + json.size() + 2);
  char out[4];
  EXPECT_TRUE(absl::IsDataLoss(file->Read(*file->Find("a"), out)));
}

TEST(SafetensorsHeaderTest, RefusesWhatIsNotAnObjectOfTensors) {
  for (const std::string json : {"", "{", "[]", "null", "{\"a\":1}", "{\"a\":{}}",
                                 "{\"__metadata__\":[]}", "{\"__metadata__\":{\"a\":1}}",
                                 "{\"a\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,0]}}"}) {
    EXPECT_TRUE(absl::IsDataLoss(Parse(json, 0))) << json;
  }
  EXPECT_TRUE(absl::IsDataLoss(Parse(std::string(200'000, '['), 0)));
}

TEST(SafetensorsHeaderTest, RefusesRangesThatLieOutsideOverlapOrLeaveHoles) {
  const auto tensor = [](const std::string& name, int64_t begin, int64_t end) {
    return absl::StrCat("\"", name, R"(":{"dtype":"U8","shape":[)", end - begin,
                        R"(],"data_offsets":[)", begin, ",", end, "]}");
  };
  const auto object = [](const std::string& a, const std::string& b) {
    return absl::StrCat("{", a, ",", b, "}");
  };
  EXPECT_TRUE(Parse(object(tensor("a", 0, 4), tensor("b", 4, 8)), 8).ok());
  EXPECT_THAT(std::string(Parse(object(tensor("a", 0, 5), tensor("b", 4, 8)), 8).message()),
              HasSubstr("overlaps"));
  EXPECT_THAT(std::string(Parse(object(tensor("a", 0, 3), tensor("b", 4, 8)), 8).message()),
              HasSubstr("hole"));
  EXPECT_THAT(std::string(Parse(object(tensor("a", 0, 4), tensor("b", 4, 8)), 9).message()),
              HasSubstr("cover 8 of 9"));
  EXPECT_THAT(std::string(Parse(object(tensor("a", 0, 4), tensor("b", 4, 8)), 7).message()),
              HasSubstr("outside"));
  EXPECT_THAT(std::string(Parse(object(tensor("a", 0, 4), tensor("a", 4, 8)), 8).message()),
              HasSubstr("twice"));
}

TEST(SafetensorsHeaderTest, RefusesShapesThatDoNotFitTheirRange) {
  const auto with = [](const std::string& shape, const std::string& offsets) {
    return absl::StrCat(R"({"a":{"dtype":"F32","shape":)", shape, R"(,"data_offsets":)", offsets,
                        "}}");
  };
  EXPECT_TRUE(Parse(with("[2]", "[0,8]"), 8).ok());
  for (const std::string shape :
       {"[3]", "[-2]", "[2.0]", "2", "[\"2\"]", "[4611686018427387904,8]", "[18446744073709551615]",
        "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]"}) {
    EXPECT_TRUE(absl::IsDataLoss(Parse(with(shape, "[0,8]"), 8))) << shape;
  }
  for (const std::string offsets :
       {"[8,0]", "[0]", "[0,8,8]", "[-8,0]", "8", "[0,18446744073709551615]", "[0.0,8]"}) {
    EXPECT_TRUE(absl::IsDataLoss(Parse(with("[2]", offsets), 8))) << offsets;
  }
}

TEST(SafetensorsHeaderTest, NamesATypeThatIsNotRead) {
  const absl::Status status =
      Parse(R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", 2);
  EXPECT_TRUE(absl::IsUnimplemented(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("BF16"));
}

}  // namespace
}  // namespace jepa
