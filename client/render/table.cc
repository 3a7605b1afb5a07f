// See table.h.
#include "client/render/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace ijepa::client {
namespace {

constexpr int kGap = 2;
constexpr int kLeastLastColumn = 8;

// `cell` in `width` columns; padding is outside the escape codes, and the last column has none
// after it.
std::string Lay(const Cell& cell, Align align, int width, const Terminal& terminal) {
  std::string padding(std::max(0, width - DisplayWidth(cell.text)), ' ');
  std::string painted = terminal.Paint(cell.tone, cell.text);
  return align == Align::kRight ? padding + painted : painted + padding;
}

}  // namespace

void Table::AddRow(std::vector<Cell> row) {
  IJEPA_CHECK(row.size() == columns_.size());
  for (Cell& cell : row) cell.text = Printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::Render(const Terminal& terminal, int indent) const {
  std::vector<std::vector<Cell>> lines;
  std::vector<Cell> header;
  for (const Column& column : columns_) header.emplace_back(column.header, Tone::kDim);
  lines.push_back(std::move(header));
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  size_t last = columns_.size() - 1;
  std::vector<int> widths(columns_.size(), 0);
  for (const auto& line : lines) {
    for (size_t c = 0; c <= last; ++c) widths[c] = std::max(widths[c], DisplayWidth(line[c].text));
  }
  if (terminal.width > 0) {
    int before = indent;
    for (size_t c = 0; c < last; ++c) before += widths[c] + kGap;
    widths[last] = std::min(widths[last], std::max(kLeastLastColumn, terminal.width - before));
  }

  std::string text;
  for (auto& line : lines) {
    text.append(indent, ' ');
    for (size_t c = 0; c < last; ++c) {
      absl::StrAppend(&text, Lay(line[c], columns_[c].align, widths[c], terminal),
                      std::string(kGap, ' '));
    }
    line[last].text = Truncate(line[last].text, widths[last], terminal.utf8);
    absl::StrAppend(&text, Lay(line[last], columns_[last].align,
                               columns_[last].align == Align::kRight ? widths[last] : 0, terminal));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text.push_back('\n');
  }
  return text;
}

}  // namespace ijepa::client
