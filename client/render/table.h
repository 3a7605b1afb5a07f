// Aligned columns.
#ifndef IJEPA_CLIENT_RENDER_TABLE_H_
#define IJEPA_CLIENT_RENDER_TABLE_H_

#include <string>
#include <vector>

#include "client/render/terminal.h"

namespace ijepa::client {

enum class Align { kLeft, kRight };

struct Column {
  std::string header;
  Align align = Align::kLeft;
};

struct Cell {
  Cell(std::string text, Tone tone = Tone::kPlain)  // NOLINT: a table row reads as a list of texts.
      : text(std::move(text)), tone(tone) {}
  Cell(const char* text) : text(text) {}  // NOLINT
  std::string text;
  Tone tone = Tone::kPlain;
};

// Collects rows, then lays them out: two spaces between columns, no trailing space. On a terminal
// the last column is cut to the width; in a pipe nothing is.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // One cell per column, shown as Printable (terminal.h) has it.
  void AddRow(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // Lines that each end in a newline, header first, each after `indent` spaces.
  std::string Render(const Terminal& terminal, int indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_TABLE_H_
