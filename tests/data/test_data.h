// Small images, folders and tars for the tests of the data part.
#ifndef IJEPA_TESTS_DATA_TEST_DATA_H_
#define IJEPA_TESTS_DATA_TEST_DATA_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/data/image_source.h"

namespace jepa::testing {

// A new empty folder, removed with its content at the end.
class TempFolder {
 public:
  const std::string& path() const { return folder_.path(); }
  // Writes path()/name, with the folders it needs. Returns the whole path.
  std::string Write(const std::string& name, absl::string_view data) const;

 private:
  ijepa::TemporaryFolder folder_;
};

// Pixels that depend on `seed`, smooth enough for JPEG.
Image TestImage(int height, int width, uint64_t seed);
std::string TestJpeg(int height, int width, uint64_t seed);
// How a JPEG is written. Chroma is halved (or quartered) across and down.
struct JpegKind {
  int across = 2;
  int down = 2;
  bool progressive = false;
  int restart_rows = 0;
  int channels = 3;  // 1: grey; 4: the channels and an inverted black.
  std::string Text() const;
};
// `jpeg` with an EXIF orientation, written in either byte order.
std::string WithOrientation(const std::string& jpeg, int orientation, bool big);
std::string TestJpegOf(const Image& image, const JpegKind& kind);
// Of any colour type and depth that libpng writes; `rows` as libpng wants them.
struct PngParts {
  int height = 1;
  int width = 1;
  int depth = 8;
  int colour_type = 2;
  bool interlaced = false;
  std::vector<uint8_t> palette;  // RGB triples.
  std::vector<std::vector<uint8_t>> rows;
};
std::string TestPng(PngParts parts);

// One member of a tar, as bytes: header, data, padding.
struct TarEntry {
  std::string name;
  std::string data;
  char type = '0';
  std::string prefix;
  bool gnu = false;                     // "ustar  " and no prefix.
  std::optional<std::string> raw_size;  // Twelve bytes instead of the true size.
};
std::string TarBytes(const TarEntry& entry);
// The two zero blocks.
std::string TarEnd();
// A whole tar of plain files: names and contents.
std::string TarOf(const std::vector<std::pair<std::string, std::string>>& files);

// The names of all images, in order.
std::vector<std::string> NamesOf(const ImageSource& source);

// A folder as in the shared test data; empty if it is not there.
std::string SharedData(const std::string& file);

// CRC-32 of PNG chunks, as its four bytes.
std::string Crc32Bytes(absl::string_view data);

// Images in memory. Thread-safe.
class MemorySource final : public ImageSource {
 public:
  // Reading an image of `failures` fails.
  explicit MemorySource(std::vector<std::string> files,
                        std::map<int64_t, absl::Status> failures = {})
      : files_(std::move(files)), failures_(std::move(failures)) {}
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::string name(int64_t index) const override { return "image" + std::to_string(index); }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    const auto failure = failures_.find(index);
    if (failure != failures_.end()) return failure->second;
    bytes = files_[index];
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> files_;
  std::map<int64_t, absl::Status> failures_;
};

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_DATA_TEST_DATA_H_
