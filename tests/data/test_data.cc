// See test_data.h.
#include "tests/data/test_data.h"

#include <gtest/gtest.h>
#include <png.h>
#include <stdlib.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
// libjpeg needs FILE declared first.
#include <jpeglib.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/jepa/data/codec.h"

namespace jepa::testing {

std::string TempFolder::Write(const std::string& name, absl::string_view data) const {
  const std::filesystem::path file = std::filesystem::path(path()) / name;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary)
      .write(data.data(), static_cast<std::streamsize>(data.size()));
  return file.string();
}

Image TestImage(int height, int width, uint64_t seed) {
  Image image{height, width, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  size_t at = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double phase = static_cast<double>(seed * 7 + static_cast<uint64_t>(c) * 3);
        image.pixels[at++] =
            static_cast<uint8_t>(127 + 120 * std::sin(0.31 * y + 0.17 * x * (c + 1) + phase));
      }
    }
  }
  return image;
}

std::string TestJpeg(int height, int width, uint64_t seed) {
  const auto bytes = EncodeJpeg(TestImage(height, width, seed), 90);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return *bytes;
}

std::string JpegKind::Text() const {
  return absl::StrCat(across, "x", down, progressive ? " progressive" : "", " restart ",
                      restart_rows, " channels ", channels);
}

std::string TestJpegOf(const Image& image, const JpegKind& kind) {
  jpeg_error_mgr error;
  jpeg_compress_struct info;
  info.err = jpeg_std_error(&error);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;  // NOLINT: the type of libjpeg's interface.
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = kind.channels;
  constexpr J_COLOR_SPACE kSpaces[] = {JCS_UNKNOWN, JCS_GRAYSCALE, JCS_UNKNOWN, JCS_RGB, JCS_CMYK};
  info.in_color_space = kSpaces[kind.channels];
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 92, TRUE);
  if (kind.channels == 3) {
    info.comp_info[0].h_samp_factor = kind.across;
    info.comp_info[0].v_samp_factor = kind.down;
  }
  info.restart_in_rows = kind.restart_rows;
  if (kind.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> row(static_cast<size_t>(image.width) * kind.channels, 200);
  while (info.next_scanline < info.image_height) {
    const uint8_t* in = image.pixels.data() + size_t{info.next_scanline} * image.width * 3;
    for (int x = 0; x < image.width; ++x) {
      std::copy_n(in + x * 3, std::min(kind.channels, 3), row.begin() + x * kind.channels);
    }
    JSAMPROW target = row.data();
    jpeg_write_scanlines(&info, &target, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string bytes(reinterpret_cast<const char*>(buffer), size);
  std::free(buffer);
  return bytes;
}

std::string TestPng(PngParts parts) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, png_size_t size) {
        static_cast<std::string*>(png_get_io_ptr(writer))
            ->append(reinterpret_cast<const char*>(data), size);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, parts.width, parts.height, parts.depth, parts.colour_type,
               parts.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
  if (!parts.palette.empty()) {
    png_set_PLTE(png, info, reinterpret_cast<png_colorp>(parts.palette.data()),
                 static_cast<int>(parts.palette.size() / 3));
    png_set_check_for_invalid_index(png, 0);
  }
  png_write_info(png, info);
  std::vector<png_bytep> rows;
  for (std::vector<uint8_t>& row : parts.rows) rows.push_back(row.data());
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string TarBytes(const TarEntry& entry) {
  std::string header(512, '\0');
  const auto put = [&header](size_t at, absl::string_view text) {
    std::memcpy(header.data() + at, text.data(), text.size());
  };
  put(0, absl::string_view(entry.name).substr(0, 100));
  put(100, "0000644");
  put(124, entry.raw_size.value_or(absl::StrFormat("%011o", entry.data.size())));
  header[156] = entry.type;
  put(257, entry.gnu ? absl::string_view("ustar  ", 7) : absl::string_view("ustar\00000", 8));
  if (!entry.gnu) put(345, entry.prefix);
  put(148, "        ");
  uint32_t sum = 0;
  for (char c : header) sum += static_cast<uint8_t>(c);
  put(148, absl::StrFormat("%06o", sum));
  header[154] = '\0';
  std::string bytes = header + entry.data;
  bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
  return bytes;
}

std::string TarEnd() { return std::string(1024, '\0'); }

std::string TarOf(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string bytes;
  for (const auto& [name, data] : files) bytes += TarBytes({name, data});
  return bytes + TarEnd();
}

std::vector<std::string> NamesOf(const ImageSource& source) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < source.size(); ++i) names.push_back(source.name(i));
  return names;
}

namespace {

std::string Two(int value, bool big) {
  const char high = static_cast<char>(value >> 8), low = static_cast<char>(value);
  return big ? std::string{high, low} : std::string{low, high};
}

std::string Four(int value, bool big) {
  return big ? Two(0, big) + Two(value, big) : Two(value, big) + Two(0, big);
}

// A JPEG with an APP1 of one entry before the orientation.

}  // namespace

std::string WithOrientation(const std::string& jpeg, int orientation, bool big) {
  const std::string tiff = std::string(big ? "MM" : "II") + Two(42, big) + Four(8, big) +
                           Two(2, big) + Two(0x0100, big) + Two(4, big) + Four(1, big) +
                           Four(7, big) + Two(0x0112, big) + Two(3, big) + Four(1, big) +
                           Two(orientation, big) + Two(0, big) + Four(0, big);
  const std::string data = std::string("Exif\0\0", 6) + tiff;
  return jpeg.substr(0, 2) + "\xff\xe1" + Two(static_cast<int>(data.size()) + 2, true) + data +
         jpeg.substr(2);
}

std::string SharedData(const std::string& file) {
  const char* folder = std::getenv("IJEPA_TEST_DATA");
  const std::string path =
      absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "../shared/data", "/", file);
  return std::filesystem::exists(path) ? path : "";
}

std::string Crc32Bytes(absl::string_view data) {
  const uLong sum =
      crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
  return {static_cast<char>(sum >> 24), static_cast<char>(sum >> 16), static_cast<char>(sum >> 8),
          static_cast<char>(sum)};
}

}  // namespace jepa::testing
