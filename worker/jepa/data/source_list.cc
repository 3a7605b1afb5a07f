// Expansion of patterns, lines of manifests.
#include "worker/jepa/data/source_list.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/file_list.h"

namespace jepa {
namespace {

constexpr size_t kMaxPaths = 1'000'000;

// "000..127" as its numbers; empty if it is no range of numbers.
absl::StatusOr<std::vector<std::string>> ExpandRange(absl::string_view inside) {
  const std::vector<absl::string_view> ends = absl::StrSplit(inside, "..");
  int64_t low = 0, high = 0;
  if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &low) || !absl::SimpleAtoi(ends[1], &high)) {
    return std::vector<std::string>();
  }
  if (low < 0 || high < low || high - low >= static_cast<int64_t>(kMaxPaths)) {
    return absl::InvalidArgumentError(
        absl::StrCat("{", inside, "}: the numbers must rise and be at most ", kMaxPaths));
  }
  std::vector<std::string> numbers;
  for (int64_t n = low; n <= high; ++n) {
    numbers.push_back(absl::StrFormat("%0*d", static_cast<int>(ends[0].size()), n));
  }
  return numbers;
}

absl::StatusOr<std::vector<std::string>> ExpandBraces(absl::string_view pattern) {
  const size_t open = pattern.find('{');
  if (open == absl::string_view::npos) return std::vector<std::string>{std::string(pattern)};
  const size_t close = pattern.find('}', open);
  if (close == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(pattern, ": a { is not closed by }"));
  }
  const absl::string_view inside = pattern.substr(open + 1, close - open - 1);
  IJEPA_ASSIGN_OR_RETURN(std::vector<std::string> choices, ExpandRange(inside));
  if (choices.empty()) choices = absl::StrSplit(inside, ',');
  IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> tails,
                         ExpandBraces(pattern.substr(close + 1)));
  std::vector<std::string> paths;
  for (const std::string& choice : choices) {
    for (const std::string& tail : tails) {
      if (paths.size() >= kMaxPaths) {
        return absl::InvalidArgumentError(
            absl::StrCat(pattern, ": more than ", kMaxPaths, " paths"));
      }
      paths.push_back(absl::StrCat(pattern.substr(0, open), choice, tail));
    }
  }
  return paths;
}

absl::Status AddMatches(const std::string& path, std::vector<std::string>& paths) {
  if (path.find_first_of("*?[") == std::string::npos) {
    paths.push_back(path);
    return absl::OkStatus();
  }
  glob_t found{};
  const int error = glob(path.c_str(), GLOB_ERR, nullptr, &found);
  for (size_t i = 0; error == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  if (error == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, " matches nothing; check data.path"));
}

}  // namespace

absl::string_view BaseName(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0.
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

std::string Within(const std::string& folder, absl::string_view name) {
  return absl::StartsWith(name, "/") ? std::string(name) : absl::StrCat(folder, "/", name);
}

bool IsPattern(const std::string& path) {
  struct stat info;
  return path.find_first_of("{*?[") != std::string::npos && stat(path.c_str(), &info) != 0;
}

absl::StatusOr<std::vector<std::string>> ExpandPattern(absl::string_view pattern) {
  IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> choices, ExpandBraces(pattern));
  std::vector<std::string> paths;
  for (const std::string& choice : choices) IJEPA_RETURN_IF_ERROR(AddMatches(choice, paths));
  return paths;
}

bool IsManifestName(absl::string_view path) {
  return absl::EndsWithIgnoreCase(path, ".txt") || absl::EndsWithIgnoreCase(path, ".tsv");
}

absl::StatusOr<std::vector<ManifestLine>> ReadManifest(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ijepa::ReadFile(path));
  std::vector<ManifestLine> lines;
  int64_t number = 0;
  for (absl::string_view row : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::EndsWith(row, "\r")) row.remove_suffix(1);
    if (row.empty() || row[0] == '#') continue;
    const std::pair<std::string, std::string> fields =
        absl::StrSplit(row, absl::MaxSplits('\t', 1));
    ManifestLine line{fields.first, fields.second, false};
    line.many = absl::EndsWithIgnoreCase(line.path, ".tar") || absl::EndsWith(line.path, "/");
    if (line.path.empty() || (!line.many && !IsImageName(line.path))) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": \"", line.path,
                       "\" is no image, tar or folder (which ends in /); remove the line"));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

absl::StatusOr<std::vector<LabelsFile>> ReadListLabels(const std::vector<std::string>& paths) {
  std::vector<LabelsFile> files;
  for (const std::string& path : paths) {
    absl::StatusOr<std::vector<LabelsFile>> part = ReadLabelsFiles(path);
    if (absl::IsNotFound(part.status())) continue;
    IJEPA_RETURN_IF_ERROR(part.status());
    for (LabelsFile& file : *part) {
      file.base = absl::StrCat(BaseName(path), ":", file.base);
      files.push_back(std::move(file));
    }
  }
  if (files.empty()) return absl::NotFoundError("no labels in the list");
  return files;
}

absl::StatusOr<std::vector<LabelsFile>> ReadManifestLabels(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(const std::vector<ManifestLine> lines, ReadManifest(path));
  LabelsFile own{"path,class\n", ""};
  std::vector<std::string> parts;
  bool labelled = false;
  for (const ManifestLine& line : lines) {
    if (line.many) parts.push_back(Within(FolderOf(path), line.path));
    if (line.many || line.label.empty()) continue;
    absl::StrAppend(&own.text, CsvField(line.path), ",", CsvField(line.label), "\n");
    labelled = true;
  }
  absl::StatusOr<std::vector<LabelsFile>> files = ReadListLabels(parts);
  if (!labelled) return files;
  std::vector<LabelsFile> all;
  if (files.ok()) all = *std::move(files);
  all.push_back(std::move(own));
  return all;
}

}  // namespace jepa
