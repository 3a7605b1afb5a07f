// Zip archives: what is written is read, and a damaged or clever archive is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/exchange/sample_state.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/zip_reader.h"
#include "worker/jepa/exchange/zip_writer.h"

namespace jepa::testing {
namespace {

using ::testing::HasSubstr;

class ArchiveTest : public ExchangeTest {
 protected:
  // Entries a/1 (300 bytes), a/2 (empty), a/3 (5 bytes).
  std::string Archive(const ZipWriterOptions& options = {}) {
    auto writer = ZipWriter::Create(Path("a.zip"), options);
    EXPECT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE(writer->Add("a/1", std::string(300, 'x')).ok());
    EXPECT_TRUE(writer->Add("a/2", "").ok());
    EXPECT_TRUE(writer->Add("a/3", "hello").ok());
    EXPECT_TRUE(writer->Finish().ok());
    return ReadBytes(Path("a.zip"));
  }

  static absl::Status OpenStatus(const std::string& bytes) {
    const auto source = BytesInMemory(bytes);
    return ZipReader::Open(*source).status();
  }

  // The message after `change` of the archive.
  std::string Refusal(const std::function<void(std::string&)>& change) {
    std::string bytes = Archive();
    change(bytes);
    return std::string(OpenStatus(bytes).message());
  }
};

void ExpectReads(const std::string& bytes) {
  const auto source = BytesInMemory(bytes);
  const auto archive = ZipReader::Open(*source);
  ASSERT_TRUE(archive.ok()) << archive.status();
  ASSERT_EQ(archive->entries().size(), 3u);
  const ZipEntry* entry = archive->Find("a/3");
  ASSERT_NE(entry, nullptr);
  std::string text(entry->bytes, ' ');
  ASSERT_TRUE(archive->Read(*entry, text.data()).ok());
  EXPECT_EQ(text, "hello");
  EXPECT_TRUE(archive->Verify(*archive->Find("a/1")).ok());
  EXPECT_EQ(archive->Find("a/4"), nullptr);
  for (const ZipEntry& each : archive->entries()) EXPECT_EQ(each.offset % kZipAlignment, 0u);
}

TEST_F(ArchiveTest, ReadsWhatItWrites) { ExpectReads(Archive()); }

TEST_F(ArchiveTest, ReadsSixtyFourBitFields) {
  const std::string plain = Archive();
  for (const uint64_t limit : {uint64_t{0}, uint64_t{6}, uint64_t{400}}) {
    const std::string wide = Archive({.zip64_from = limit});
    EXPECT_GT(wide.size(), plain.size());
    ExpectReads(wide);
  }
}

TEST_F(ArchiveTest, RefusesEveryCutAndSeesEveryFlippedByteOfData) {
  const std::string bytes = Archive();
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(OpenStatus(bytes.substr(0, length)).ok()) << length;
  }
  const size_t data = bytes.find("hello");
  for (size_t at = data; at < data + 5; ++at) {
    std::string flipped = bytes;
    flipped[at] ^= 0x10;
    const auto source = BytesInMemory(flipped);
    const auto archive = ZipReader::Open(*source);
    ASSERT_TRUE(archive.ok());
    std::string text(5, ' ');
    EXPECT_TRUE(absl::IsDataLoss(archive->Read(*archive->Find("a/3"), text.data())));
    EXPECT_TRUE(absl::IsDataLoss(archive->Verify(*archive->Find("a/3"))));
  }
}

TEST_F(ArchiveTest, RefusesNamesThatLeaveTheArchive) {
  const std::vector<std::string> names = {"../", "/a/", "a\\b", "a//", "./a", {"a\0b", 3}};
  for (const std::string& name : names) {
    const std::string text = Refusal([&](std::string& bytes) {
      for (size_t at; (at = bytes.find("a/3")) != std::string::npos;) {
        bytes.replace(at, 3, name);
      }
    });
    EXPECT_THAT(text, HasSubstr("name")) << name;
  }
}

TEST_F(ArchiveTest, RefusesTwoEntriesOfOneName) {
  EXPECT_THAT(Refusal([](std::string& bytes) {
                for (size_t at; (at = bytes.find("a/3")) != std::string::npos;) bytes[at + 2] = '1';
              }),
              HasSubstr("is there twice"));
}

// The directory record of the last entry, whose fields the next tests change.
size_t LastRecord(const std::string& bytes) { return bytes.rfind(std::string("PK\x01\x02", 4)); }

TEST_F(ArchiveTest, RefusesCompressionAndEncryption) {
  EXPECT_THAT(Refusal([](std::string& bytes) { bytes[LastRecord(bytes) + 10] = 8; }),
              HasSubstr("is compressed"));
  EXPECT_THAT(Refusal([](std::string& bytes) { bytes[LastRecord(bytes) + 8] |= 1; }),
              HasSubstr("is encrypted"));
}

TEST_F(ArchiveTest, RefusesEntriesThatOverlapOrReachOutside) {
  const auto grow = [](std::string& bytes, size_t record, char low) {
    bytes[record + 20] = bytes[record + 24] = low;
    bytes[record + 23] = bytes[record + 27] = 0x7f;
  };
  EXPECT_THAT(Refusal([&](std::string& bytes) { grow(bytes, LastRecord(bytes), 5); }),
              HasSubstr("reach into another entry or past the end"));
  const auto first = [](const std::string& bytes) {
    return bytes.find(std::string("PK\x01\x02", 4));
  };
  EXPECT_THAT(Refusal([&](std::string& bytes) { grow(bytes, first(bytes), 5); }),
              HasSubstr("zip entry \"a/1\""));
  // Two records that share one header.
  EXPECT_THAT(Refusal([&](std::string& bytes) {
                const size_t last = LastRecord(bytes);
                for (size_t i = 42; i < 46; ++i) bytes[last + i] = bytes[first(bytes) + i];
              }),
              HasSubstr("on another entry"));
}

TEST_F(ArchiveTest, RefusesDirectoriesThatLieAboutThemselves) {
  const auto end = [](const std::string& bytes) { return bytes.size() - 22; };
  EXPECT_THAT(Refusal([&](std::string& bytes) { bytes[end(bytes) + 10] = 4; }),
              HasSubstr("fewer entries"));
  EXPECT_THAT(Refusal([&](std::string& bytes) { bytes[end(bytes) + 10] = 2; }),
              HasSubstr("after its last entry"));
  EXPECT_THAT(Refusal([&](std::string& bytes) { bytes[end(bytes) + 12] ^= 1; }),
              HasSubstr("does not end where"));
  EXPECT_THAT(Refusal([&](std::string& bytes) { bytes[end(bytes) + 4] = 1; }),
              HasSubstr("several pieces"));
  EXPECT_THAT(Refusal([](std::string& bytes) {
                const size_t local = bytes.find("a/3");
                bytes[local + 2] = '4';
              }),
              HasSubstr("its own header differs"));
}

TEST_F(ArchiveTest, RefusesAWriterThatBreaksItsWord) {
  auto writer = ZipWriter::Create(Path("b.zip"));
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->Begin("a", 3).ok());
  EXPECT_TRUE(absl::IsInternal(writer->Append("abcd", 4)));
  ASSERT_TRUE(writer->Append("ab", 2).ok());
  EXPECT_TRUE(absl::IsInternal(writer->End()));
}

}  // namespace
}  // namespace jepa::testing
