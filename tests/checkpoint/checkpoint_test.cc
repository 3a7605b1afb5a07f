// What a checkpoint promises: whole or not there, verified when it is opened.
#include "worker/jepa/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/checkpoint/crc32c.h"
#include "worker/jepa/checkpoint/manifest.h"

namespace jepa {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Contents(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void Write(const fs::path& path, const std::string& data) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << data;
}

std::set<std::string> Names(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    folder_ = ijepa::MakeTemporaryFolder();
    meta_.job_uid = "job-1";
    meta_.generation = 3;
    meta_.step = 120;
    meta_.images_seen = 7680;
    meta_.model = "vit 64x4";
    meta_.values = {{"seed", "7"}, {"mask/0", "aGVsbG8="}};
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }

  // Two small tensors, one of several pieces, an empty one, a scalar.
  std::vector<TensorToSave> Tensors() {
    large_.resize(700'001);
    for (size_t i = 0; i < large_.size(); ++i) large_[i] = static_cast<float>(i) * 0.5f;
    return {{"encoder/weight", TensorType::kFloat32, {2, 3}, small_.data()},
            {"large", TensorType::kFloat32, {700'001}, large_.data()},
            {"empty", TensorType::kFloat32, {0, 4}, nullptr},
            {"bytes", TensorType::kUint8, {5}, bytes_.data()},
            {"steps", TensorType::kInt64, {}, &steps_}};
  }
  std::string WriteOne() {
    absl::StatusOr<CheckpointSummary> written = WriteCheckpoint(folder_.string(), meta_, Tensors());
    EXPECT_TRUE(written.ok()) << written.status();
    return written.ok() ? written->path : "";
  }

  fs::path folder_;
  CheckpointMeta meta_;
  std::vector<float> small_ = {1, 2, 3, 4, 5, 6.5f};
  std::vector<float> large_;
  std::vector<uint8_t> bytes_ = {9, 8, 7, 6, 5};
  int64_t steps_ = 120;
};

TEST_F(CheckpointTest, ReadsBackWhatWasWritten) {
  absl::StatusOr<CheckpointSummary> written = WriteCheckpoint(folder_.string(), meta_, Tensors());
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(fs::path(written->path).filename(), "step-000000000120.g3");
  EXPECT_THAT(Names(folder_), ElementsAre("step-000000000120.g3"));
  EXPECT_THAT(Names(written->path), ElementsAre("manifest.json", "part-0000.bin"));
  EXPECT_EQ(static_cast<uintmax_t>(written->bytes),
            fs::file_size(fs::path(written->path) / "part-0000.bin"));

  absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(written->path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->meta().job_uid, meta_.job_uid);
  EXPECT_EQ(reader->meta().generation, 3);
  EXPECT_EQ(reader->meta().step, 120);
  EXPECT_EQ(reader->meta().images_seen, 7680);
  EXPECT_EQ(reader->meta().model, meta_.model);
  EXPECT_EQ(reader->meta().values, meta_.values);
  ASSERT_EQ(reader->tensors().size(), 5u);
  for (const TensorEntry& tensor : reader->tensors()) {
    EXPECT_EQ(tensor.offset % kTensorAlignment, 0) << tensor.name;
  }
  std::vector<float> small(6);
  std::vector<float> large(700'001);
  std::vector<uint8_t> bytes(5);
  int64_t steps = 0;
  EXPECT_TRUE(reader->Read("encoder/weight", TensorType::kFloat32, {2, 3}, small.data()).ok());
  EXPECT_TRUE(reader->Read("large", TensorType::kFloat32, {700'001}, large.data()).ok());
  EXPECT_TRUE(reader->Read("empty", TensorType::kFloat32, {0, 4}, nullptr).ok());
  EXPECT_TRUE(reader->Read("bytes", TensorType::kUint8, {5}, bytes.data()).ok());
  EXPECT_TRUE(reader->Read("steps", TensorType::kInt64, {}, &steps).ok());
  EXPECT_EQ(small, small_);
  EXPECT_EQ(large, large_);
  EXPECT_EQ(bytes, bytes_);
  EXPECT_EQ(steps, 120);
  EXPECT_TRUE(CheckpointReader::Open(written->path + "/").ok());
}

TEST_F(CheckpointTest, SpreadsTensorsOverParts) {
  CheckpointOptions options;
  options.part_bytes = 100;
  absl::StatusOr<CheckpointSummary> written =
      WriteCheckpoint(folder_.string(), meta_, Tensors(), options);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_THAT(Names(written->path), ElementsAre("manifest.json", "part-0000.bin", "part-0001.bin"));
  absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(written->path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> large(700'001);
  std::vector<uint8_t> bytes(5);
  EXPECT_TRUE(reader->Read("large", TensorType::kFloat32, {700'001}, large.data()).ok());
  EXPECT_TRUE(reader->Read("bytes", TensorType::kUint8, {5}, bytes.data()).ok());
  EXPECT_EQ(large, large_);
  EXPECT_EQ(bytes, bytes_);
  fs::remove(fs::path(written->path) / "part-0001.bin");
  EXPECT_THAT(std::string(CheckpointReader::Open(written->path).status().message()),
              HasSubstr("part-0001.bin"));
}

TEST_F(CheckpointTest, WritesACheckpointWithoutTensors) {
  absl::StatusOr<CheckpointSummary> written = WriteCheckpoint(folder_.string(), meta_, {});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_TRUE(CheckpointReader::Open(written->path).ok());
}

TEST_F(CheckpointTest, RefusesAnotherTypeShapeOrName) {
  absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(WriteOne());
  ASSERT_TRUE(reader.ok()) << reader.status();
  float out[6];
  EXPECT_TRUE(
      absl::IsInvalidArgument(reader->Read("encoder/weight", TensorType::kInt64, {2, 3}, out)));
  const absl::Status shape = reader->Read("encoder/weight", TensorType::kFloat32, {3, 2}, out);
  EXPECT_TRUE(absl::IsInvalidArgument(shape));
  EXPECT_THAT(std::string(shape.message()), AllOf(HasSubstr("[2, 3]"), HasSubstr("[3, 2]")));
  EXPECT_TRUE(absl::IsNotFound(reader->Read("other", TensorType::kFloat32, {2, 3}, out)));
}

TEST_F(CheckpointTest, FindsAFlippedBitAnywhere) {
  const fs::path path = WriteOne();
  for (const std::string file : {"part-0000.bin", "manifest.json"}) {
    const std::string good = Contents(path / file);
    for (size_t i = 0; i < 40; ++i) {
      const size_t at = i < 20 ? i * good.size() / 20 : good.size() - 1 - (i - 20);
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x04);
      Write(path / file, bad);
      const absl::Status status = CheckpointReader::Open(path.string()).status();
      // A flip in the version reads as a newer one; one in white space may change nothing.
      if (absl::IsFailedPrecondition(status)) continue;
      if (file == "manifest.json" && std::isspace(good[at]) && std::isspace(bad[at])) continue;
      EXPECT_TRUE(absl::IsDataLoss(status)) << file << " byte " << at << ": " << status;
    }
    Write(path / file, good);
  }
  EXPECT_TRUE(CheckpointReader::Open(path.string()).ok());
}

TEST_F(CheckpointTest, NamesThePartThatIsShortAlteredOrMissing) {
  const fs::path path = WriteOne();
  const std::string good = Contents(path / "part-0000.bin");
  const auto message = [&] {
    const absl::Status status = CheckpointReader::Open(path.string()).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    return std::string(status.message());
  };
  Write(path / "part-0000.bin", good.substr(0, good.size() - 1));
  EXPECT_THAT(message(), AllOf(HasSubstr("part-0000.bin"), HasSubstr("bytes")));
  Write(path / "part-0000.bin", good + "x");
  EXPECT_THAT(message(), HasSubstr("bytes"));
  fs::remove(path / "part-0000.bin");
  EXPECT_THAT(message(), AllOf(HasSubstr("part-0000.bin"), HasSubstr("missing")));
  fs::create_directory(path / "part-0000.bin");
  EXPECT_THAT(message(), HasSubstr("part-0000.bin"));
}

TEST_F(CheckpointTest, IsNotThereWithoutAManifest) {
  const fs::path path = WriteOne();
  fs::remove(path / "manifest.json");
  EXPECT_TRUE(absl::IsNotFound(CheckpointReader::Open(path.string()).status()));
  EXPECT_TRUE(absl::IsNotFound(CheckpointReader::Open(folder_ / "none").status()));
}

TEST_F(CheckpointTest, DoesNotOpenAnUnfinishedFolder) {
  const fs::path path = WriteOne();
  const std::string torn = path.string() + ".tmp";
  fs::rename(path, torn);
  EXPECT_TRUE(absl::IsNotFound(CheckpointReader::Open(torn).status()));
}

TEST_F(CheckpointTest, RefusesANewerFormat) {
  const fs::path path = WriteOne();
  const std::string manifest = Contents(path / "manifest.json");
  Write(path / "manifest.json",
        absl::StrReplaceAll(manifest, {{"\"version\": 1", "\"version\": 2"}}));
  const absl::Status status = CheckpointReader::Open(path.string()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 2"));
}

TEST_F(CheckpointTest, ReplacesAnUnfinishedFolderOfTheSameName) {
  const fs::path torn = folder_ / "step-000000000120.g3.tmp";
  fs::create_directories(torn / "deep");
  Write(torn / "part-0007.bin", "old");
  EXPECT_THAT(Names(WriteOne()), ElementsAre("manifest.json", "part-0000.bin"));
  EXPECT_THAT(Names(folder_), ElementsAre("step-000000000120.g3"));
}

TEST_F(CheckpointTest, NeverReplacesAFinishedOne) {
  const fs::path path = WriteOne();
  EXPECT_TRUE(absl::IsAlreadyExists(WriteCheckpoint(folder_.string(), meta_, Tensors()).status()));
  EXPECT_TRUE(CheckpointReader::Open(path.string()).ok());
}

TEST_F(CheckpointTest, RefusesWhatCannotBeWritten) {
  const auto write = [&](const std::vector<TensorToSave>& tensors) {
    return WriteCheckpoint(folder_.string(), meta_, tensors).status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"a", TensorType::kUint8, {5}, bytes_.data()},
                                             {"a", TensorType::kUint8, {5}, bytes_.data()}})));
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"a", TensorType::kUint8, {-5}, bytes_.data()}})));
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"a", TensorType::kUint8, {5}, nullptr}})));
  EXPECT_TRUE(absl::IsInvalidArgument(
      write({{"a", TensorType::kInt64, {int64_t{1} << 40, int64_t{1} << 40}, bytes_.data()}})));
  meta_.values["bad"] = "\xff\xfe";
  EXPECT_TRUE(absl::IsInvalidArgument(write(Tensors())));
  meta_.values.erase("bad");
  meta_.step = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(write(Tensors())));
  EXPECT_THAT(Names(folder_), IsEmpty());
}

TEST_F(CheckpointTest, SaysHowMuchSpaceIsMissingAndLeavesNothing) {
  // 1 EB: no disk has it, and nothing is read from the pointer.
  const absl::Status status =
      WriteCheckpoint(folder_.string(), meta_,
                      {{"huge", TensorType::kUint8, {int64_t{1} << 60}, bytes_.data()}})
          .status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("needs"), HasSubstr("free"), HasSubstr(folder_.string())));
  EXPECT_THAT(Names(folder_), IsEmpty());
}

// A limit on the size of a file stands for a disk that fills up after the space check.
TEST_F(CheckpointTest, LeavesNothingWhenAWriteFails) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteCheckpoint(folder_.string(), meta_, Tensors()).status();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(Names(folder_), IsEmpty());
}

TEST_F(CheckpointTest, LeavesNothingOnADiskThatIsFull) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=4m") != 0) {
    GTEST_SKIP() << "mounting a tmpfs is not permitted";
  }
  const absl::StatusOr<CheckpointSummary> first = WriteCheckpoint(disk.string(), meta_, {});
  Write(disk / "filler", std::string(2 << 20, 'x'));
  meta_.step = 121;
  const absl::Status second = WriteCheckpoint(disk.string(), meta_, Tensors()).status();
  const std::set<std::string> names = Names(disk);
  ASSERT_EQ(::umount(disk.c_str()), 0);
  EXPECT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsResourceExhausted(second)) << second;
  EXPECT_THAT(names, ElementsAre("filler", "step-000000000120.g3"));
}

TEST_F(CheckpointTest, DeletesOnlyCheckpointsOfItsFolder) {
  const fs::path inside = WriteOne();
  const fs::path outside = folder_ / "other";
  fs::create_directories(outside / "step-000000000001.g1");
  fs::create_directories(folder_ / "photos");
  const absl::Status status = DeleteCheckpoints(
      folder_.string(),
      {(outside / "step-000000000001.g1").string(), (folder_ / "photos").string(),
       (folder_ / "other/../photos").string(), folder_.string(), "", "/", (folder_ / "..").string(),
       inside.string() + "/", (folder_ / "step-000000000999.g1").string()},
      3);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("other/step-000000000001.g1"));
  EXPECT_THAT(Names(folder_), ElementsAre("other", "photos"));
  EXPECT_THAT(Names(outside), ElementsAre("step-000000000001.g1"));
  EXPECT_TRUE(DeleteCheckpoints(folder_.string(), {inside.string()}, 3).ok());
  EXPECT_TRUE(DeleteCheckpoints((folder_ / "none").string(), {}, 3).ok());
}

TEST_F(CheckpointTest, DeletesTheLinkAndNotWhatItPointsTo) {
  fs::create_directories(folder_ / "photos");
  Write(folder_ / "photos/a.jpg", "x");
  const fs::path link = folder_ / "step-000000000005.g1";
  fs::create_directory_symlink(folder_ / "photos", link);
  EXPECT_TRUE(DeleteCheckpoints(folder_.string(), {link.string()}, 3).ok());
  EXPECT_THAT(Names(folder_), ElementsAre("photos"));
  EXPECT_THAT(Names(folder_ / "photos"), ElementsAre("a.jpg"));
}

TEST_F(CheckpointTest, DeletesUnfinishedFoldersOfOlderGenerations) {
  for (const std::string name :
       {"step-000000000005.g1.tmp", "step-000000000005.g2.tmp", "step-000000000005.g3.tmp",
        "step-000000000005.g1", "step-5.g1.tmp", "notes.tmp"}) {
    fs::create_directories(folder_ / name / "deep");
  }
  EXPECT_TRUE(DeleteCheckpoints(folder_.string(), {}, 3).ok());
  EXPECT_THAT(Names(folder_), ElementsAre("notes.tmp", "step-000000000005.g1",
                                          "step-000000000005.g3.tmp", "step-5.g1.tmp"));
}

TEST(CheckpointNameTest, ParsesItsOwnNamesOnly) {
  const auto name = ParseCheckpointName("step-000000000120.g3.tmp");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->step, 120);
  EXPECT_EQ(name->generation, 3);
  EXPECT_TRUE(name->unfinished);
  EXPECT_TRUE(ParseCheckpointName("step-1234567890123.g12").has_value());
  for (const std::string bad :
       {"", "step-", "step-120.g3", "step-000000000120", "step-000000000120.g", "a",
        "step-000000000120.g3 ", "step--00000000120.g3", "step-000000000120.g+3",
        "step-000000000120.g3.tmp.tmp", "step-000000000120.g3/..", "step-000000000120.g03"}) {
    EXPECT_FALSE(ParseCheckpointName(bad).has_value()) << bad;
  }
}

std::string WithChecksum(const std::string& body) {
  return absl::StrCat(R"({"version":1,"crc32c":")",
                      absl::Hex(ExtendCrc32c(0, body.data(), body.size()), absl::kZeroPad8),
                      R"(","body":)", body, "}");
}

// The checksum is right in all of them, so that the checks behind it are reached. Keys sorted.
std::string Body(const std::string& parts, const std::string& tensors) {
  return absl::StrCat(
      R"({"format":"ijepa-checkpoint","generation":1,"images_seen":1,"job_uid":"j",)",
      R"("model":"m","parts":)", parts, R"(,"step":1,"tensors":)", tensors, R"(,"values":{}})");
}

TEST(ManifestTest, RefusesTensorsThatDoNotFit) {
  const std::string parts = R"([{"bytes":128,"crc32c":"00000000"}])";
  const auto tensor = [](const std::string& name, int64_t part, int64_t offset, int64_t bytes) {
    return absl::StrCat(R"({"bytes":)", bytes, R"(,"name":")", name, R"(","offset":)", offset,
                        R"(,"part":)", part, R"(,"shape":[)", bytes, R"(],"type":"uint8"})");
  };
  const auto parse = [&](const std::string& tensors) {
    return ParseManifest(WithChecksum(Body(parts, "[" + tensors + "]"))).status();
  };
  EXPECT_TRUE(parse(tensor("a", 0, 0, 64) + "," + tensor("b", 0, 64, 64)).ok())
      << parse(tensor("a", 0, 0, 64));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 0, 0, 65) + "," + tensor("b", 0, 64, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 0, 0, 64) + "," + tensor("a", 0, 64, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 0, 65, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 0, 4'000'000'000'000, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 1, 0, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", 0, -1, 64))));
  EXPECT_TRUE(absl::IsDataLoss(parse(tensor("a", -1, 0, 64))));
  EXPECT_TRUE(absl::IsDataLoss(
      parse(R"({"bytes":64,"name":"a","offset":0,"part":0,"shape":[63],"type":"uint8"})")));
  EXPECT_TRUE(absl::IsDataLoss(
      parse(R"({"bytes":64,"name":"a","offset":0,"part":0,"shape":[64],"type":"text"})")));
}

TEST(ManifestTest, RefusesWhatIsNotAManifest) {
  for (const std::string& bad :
       {std::string(), std::string("{}"), std::string("[]"), std::string("{\"version\":1}"),
        std::string(R"({"version":-1})"), std::string(100'000, '['),
        R"({"version":1,"crc32c":"00000000","body":)" + std::string(100'000, '['),
        WithChecksum("{}"), WithChecksum(Body("3", "[]")), WithChecksum(Body("[3]", "[]")),
        WithChecksum(Body(R"([{"bytes":1,"crc32c":"zz"}])", "[]")), WithChecksum(Body("[]", "[3]")),
        R"({"version":1,"crc32c":"00000000","body":)" + std::string(200'000, '[') +
            std::string(200'000, ']') + "}"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseManifest(bad).status())) << bad.substr(0, 100);
  }
}

}  // namespace
}  // namespace jepa
