// See plot.h.
#include "client/render/plot.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/render/format.h"

namespace ijepa::client {
namespace {

// Dots of a braille cell, [column][row from the top] (Unicode block 2800).
constexpr int kBrailleDot[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};

std::string Utf8(int code_point) {
  return {static_cast<char>(0xE0 | (code_point >> 12)),
          static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)),
          static_cast<char>(0x80 | (code_point & 0x3F))};
}

// Bounds of a plot; never empty, so that a flat curve has a place.
struct Box {
  double left, right, low, high;
};

Box BoxOf(const std::vector<Point>& points) {
  Box box{points[0].x, points[0].x, points[0].y, points[0].y};
  for (const Point& p : points) {
    box.left = std::min(box.left, p.x);
    box.right = std::max(box.right, p.x);
    box.low = std::min(box.low, p.y);
    box.high = std::max(box.high, p.y);
  }
  if (box.right == box.left) box.right = box.left + 1;
  if (box.high == box.low) box.high = box.low + std::max(1e-12, std::abs(box.low) * 1e-3);
  return box;
}

// Draws the polyline through the means of `points` per column, on a grid of [rows][columns].
std::vector<std::vector<bool>> Rasterise(const std::vector<Point>& points, const Box& box, int rows,
                                         int columns) {
  std::vector<double> sums(columns, 0);
  std::vector<int> counts(columns, 0);
  for (const Point& p : points) {
    auto column = std::lround((p.x - box.left) / (box.right - box.left) * (columns - 1));
    sums[column] += p.y;
    ++counts[column];
  }
  auto row = [&](double y) {
    return static_cast<int>(std::lround((box.high - y) / (box.high - box.low) * (rows - 1)));
  };
  std::vector<std::vector<bool>> grid(rows, std::vector<bool>(columns, false));
  int from = -1;
  int from_row = 0;
  for (int c = 0; c < columns; ++c) {
    if (counts[c] == 0) continue;
    int to_row = row(sums[c] / counts[c]);
    if (from < 0) {
      from = c;
      from_row = to_row;
    }
    int steps = std::max({1, c - from, std::abs(to_row - from_row)});
    for (int i = 0; i <= steps; ++i) {
      double share = static_cast<double>(i) / steps;
      grid[static_cast<int>(std::lround(from_row + share * (to_row - from_row)))]
          [static_cast<int>(std::lround(from + share * (c - from)))] = true;
    }
    from = c;
    from_row = to_row;
  }
  return grid;
}

std::string CellText(const std::vector<std::vector<bool>>& grid, int row, int column, bool utf8) {
  if (!utf8) return grid[row][column] ? "*" : " ";
  int dots = 0;
  for (int c = 0; c < 2; ++c) {
    for (int r = 0; r < 4; ++r) {
      if (grid[row * 4 + r][column * 2 + c]) dots |= kBrailleDot[c][r];
    }
  }
  return dots == 0 ? " " : Utf8(0x2800 + dots);
}

}  // namespace

std::string Bar(double share, int width, bool utf8) {
  share = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
  int full = static_cast<int>(share * width);
  std::string text = "[";
  for (int i = 0; i < width; ++i) {
    absl::StrAppend(&text, i < full ? (utf8 ? Utf8(0x2588) : "#") : (utf8 ? Utf8(0x2591) : "-"));
  }
  return absl::StrCat(text, "]");
}

std::string Sparkline(const std::vector<double>& values, bool utf8) {
  constexpr absl::string_view kAscii = "_.-=+*%#";
  double low = INFINITY;
  double high = -INFINITY;
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string text;
  for (double value : values) {
    if (!std::isfinite(value)) {
      text.push_back(' ');
      continue;
    }
    int level = high == low ? 0 : static_cast<int>(std::lround((value - low) / (high - low) * 7));
    absl::StrAppend(&text, utf8 ? Utf8(0x2581 + level) : std::string(1, kAscii[level]));
  }
  return text;
}

std::vector<std::string> Curve(const std::vector<Point>& points, CurveSize size, bool utf8) {
  std::vector<Point> finite;
  for (const Point& p : points) {
    if (std::isfinite(p.x) && std::isfinite(p.y)) finite.push_back(p);
  }
  if (finite.size() < 2 || size.width < 2 || size.height < 2) return {};
  std::stable_sort(finite.begin(), finite.end(),
                   [](const Point& a, const Point& b) { return a.x < b.x; });
  Box box = BoxOf(finite);
  auto grid = Rasterise(finite, box, size.height * (utf8 ? 4 : 1), size.width * (utf8 ? 2 : 1));
  std::string high = FormatNumber(box.high);
  std::string low = FormatNumber(box.low);
  int margin = static_cast<int>(std::max(high.size(), low.size()));
  std::vector<std::string> lines;
  for (int row = 0; row < size.height; ++row) {
    std::string line = absl::StrFormat(
        "%*s %s", margin, row == 0 ? high : (row == size.height - 1 ? low : std::string()),
        utf8 ? Utf8(0x2502) : "|");
    for (int column = 0; column < size.width; ++column) {
      absl::StrAppend(&line, CellText(grid, row, column, utf8));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string Shade(double share, bool utf8) {
  constexpr absl::string_view kAscii = " .:-=+*#@";
  share = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
  if (!utf8) return std::string(1, kAscii[static_cast<size_t>(std::lround(share * 8))]);
  int level = static_cast<int>(std::lround(share * 4));
  if (level == 0) return " ";
  return level == 4 ? Utf8(0x2588) : Utf8(0x2590 + level);
}

}  // namespace ijepa::client
