// Class numbers of images, from a table beside them or from their folders.
#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/sources.h"

namespace jepa {
namespace {

constexpr int kQuantileClasses = 6;

// A column as text, one cell per image; empty where there is none.
struct Column {
  std::string name;
  std::vector<std::string> cells;
};

// Cuts a line of a CSV file at its commas. A field may be in double quotes, a quote in it doubled.
// False if a quote is left open.
bool SplitCsvLine(absl::string_view line, std::vector<std::string>& fields) {
  fields.assign(1, "");
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (c == '"' && (quoted || fields.back().empty())) {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return !quoted;
}

absl::string_view TakeLine(absl::string_view& text) {
  const size_t end = text.find('\n');
  absl::string_view line = text.substr(0, end);
  text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

absl::Status BadLine(int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(kLabelsName, ":", line, ": ", what));
}

absl::StatusOr<std::vector<Column>> ReadHeader(absl::string_view& text) {
  std::vector<std::string> names;
  if (absl::StartsWith(text, "\xef\xbb\xbf")) text.remove_prefix(3);
  if (!SplitCsvLine(TakeLine(text), names) || names.size() < 2 || names[0] != "path") {
    return BadLine(1, "the header must be path,NAME,... with one name per column of labels");
  }
  std::vector<Column> columns;
  for (size_t i = 1; i < names.size(); ++i) columns.push_back({names[i], {}});
  return columns;
}

using Index = std::unordered_map<std::string, int64_t>;

// The place of the column `name`, added empty where it is new.
size_t PlaceOf(const std::string& name, int64_t images, std::vector<Column>& columns) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return i;
  }
  columns.push_back({name, std::vector<std::string>(static_cast<size_t>(images))});
  return columns.size() - 1;
}

absl::Status ReadTable(const LabelsFile& file, int64_t images, const Index& index_of,
                       std::vector<Column>& columns) {
  absl::string_view text = file.text;
  IJEPA_ASSIGN_OR_RETURN(const std::vector<Column> header, ReadHeader(text));
  std::vector<size_t> places;
  for (const Column& column : header) places.push_back(PlaceOf(column.name, images, columns));
  std::vector<std::string> fields;
  for (int64_t line = 2; !text.empty(); ++line) {
    const absl::string_view row = TakeLine(text);
    if (row.empty()) continue;
    if (!SplitCsvLine(row, fields)) return BadLine(line, "a quote is not closed");
    if (fields.size() != header.size() + 1) {
      return BadLine(line,
                     absl::StrCat(fields.size(), " fields; the header has ", header.size() + 1));
    }
    const auto found = index_of.find(file.base + fields[0]);
    if (found == index_of.end()) continue;
    for (size_t i = 0; i < places.size(); ++i) {
      columns[places[i]].cells[static_cast<size_t>(found->second)] = std::move(fields[i + 1]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Column>> ReadTables(const std::vector<LabelsFile>& files,
                                               const ImageSource& source) {
  Index index_of;
  for (int64_t i = 0; i < source.size(); ++i) index_of.emplace(source.name(i), i);
  std::vector<Column> columns;
  for (const LabelsFile& file : files) {
    IJEPA_RETURN_IF_ERROR(ReadTable(file, source.size(), index_of, columns));
  }
  return columns;
}

Column FolderColumn(const ImageSource& source) {
  Column column{"class", {}};
  for (int64_t i = 0; i < source.size(); ++i) {
    const std::string name = source.name(i);
    const size_t slash = name.rfind('/');
    if (slash == std::string::npos) {
      column.cells.emplace_back();
      continue;
    }
    const size_t before = slash == 0 ? std::string::npos : name.rfind('/', slash - 1);
    column.cells.push_back(name.substr(before + 1, slash - before - 1));  // npos + 1 is 0.
  }
  return column;
}

bool IsNumber(const std::string& cell, double* value) {
  return absl::SimpleAtod(cell, value) && std::isfinite(*value);
}

// All cells numbers, and one of them no whole number.
bool HoldsFractions(const Column& column) {
  bool fraction = false;
  for (const std::string& cell : column.cells) {
    if (cell.empty()) continue;
    double value = 0;
    if (!IsNumber(cell, &value)) return false;
    fraction = fraction || value != std::floor(value);
  }
  return fraction;
}

std::vector<double> QuantileCuts(const Column& column) {
  std::vector<double> values;
  double value = 0;
  for (const std::string& cell : column.cells) {
    if (IsNumber(cell, &value)) values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  std::vector<double> cuts;
  for (size_t i = 1; i < kQuantileClasses; ++i) {
    const double cut = values[i * values.size() / kQuantileClasses];
    // Equal cuts would leave a class empty.
    if (cut > values.front() && (cuts.empty() || cut > cuts.back())) cuts.push_back(cut);
  }
  return cuts;
}

// Distinct cells: whole numbers by value, anything else by its bytes.
std::vector<std::string> DistinctNames(const Column& column) {
  const std::set<std::string> distinct(column.cells.begin(), column.cells.end());
  std::vector<std::string> names;
  for (const std::string& name : distinct) {
    if (!name.empty()) names.push_back(name);
  }
  int64_t number = 0;
  const bool numbers = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return absl::SimpleAtoi(name, &number);
  });
  if (!numbers) return names;
  const auto value = [](const std::string& name) {
    int64_t parsed = 0;
    return absl::SimpleAtoi(name, &parsed) ? parsed : 0;
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return value(a) < value(b); });
  return names;
}

// The numbers of `column` in the classes that `labels` already names.
void FillValues(const Column& column, Labels& labels) {
  std::unordered_map<std::string, int32_t> number_of;
  for (const std::string& name : labels.class_names) {
    number_of.emplace(name, static_cast<int32_t>(number_of.size()));
  }
  labels.values.reserve(column.cells.size());
  for (const std::string& cell : column.cells) {
    double value = 0;
    int32_t number = -1;
    if (!labels.cuts.empty()) {
      if (IsNumber(cell, &value)) {
        number = static_cast<int32_t>(
            std::upper_bound(labels.cuts.begin(), labels.cuts.end(), value) - labels.cuts.begin());
      }
    } else if (const auto found = number_of.find(cell); found != number_of.end()) {
      number = found->second;
    }
    labels.values.push_back(number);
  }
}

Labels OwnLabels(const Column& column) {
  Labels labels;
  labels.name = column.name;
  if (HoldsFractions(column)) {
    labels.cuts = QuantileCuts(column);
    labels.classes = static_cast<int>(labels.cuts.size()) + 1;
  } else {
    labels.class_names = DistinctNames(column);
    labels.classes = static_cast<int>(labels.class_names.size());
  }
  FillValues(column, labels);
  return labels;
}

// The columns of `vocabulary`, filled from `columns`; what is missing there has no label.
std::vector<Labels> LabelsLike(const std::vector<Labels>& vocabulary,
                               const std::vector<Column>& columns, int64_t images) {
  std::vector<Labels> result;
  for (const Labels& like : vocabulary) {
    Labels labels = like;
    labels.values.clear();
    const auto same = std::find_if(columns.begin(), columns.end(),
                                   [&](const Column& column) { return column.name == like.name; });
    if (same != columns.end()) FillValues(*same, labels);
    labels.values.resize(static_cast<size_t>(images), -1);
    result.push_back(std::move(labels));
  }
  return result;
}

}  // namespace

std::string CsvField(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

absl::StatusOr<std::vector<Labels>> ReadLabels(const std::string& path, const ImageSource& source,
                                               const std::vector<Labels>* vocabulary) {
  std::vector<Column> columns;
  const absl::StatusOr<std::vector<LabelsFile>> files = ReadLabelsFiles(path);
  if (files.ok()) {
    IJEPA_ASSIGN_OR_RETURN(columns, ReadTables(*files, source));
  } else if (absl::IsNotFound(files.status())) {
    columns.push_back(FolderColumn(source));
  } else {
    return files.status();
  }
  if (vocabulary != nullptr) return LabelsLike(*vocabulary, columns, source.size());
  std::vector<Labels> result;
  for (const Column& column : columns) {
    Labels labels = OwnLabels(column);
    if (labels.classes >= 2) result.push_back(std::move(labels));
  }
  if (result.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has no labels of two classes or more: put a ", kLabelsName,
        " beside the images (path,NAME,...), or the images of each class in a folder of its own"));
  }
  return result;
}

}  // namespace jepa
