// Image files inside a tar, read in place.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/file_list.h"
#include "worker/jepa/data/sources.h"
#include "worker/jepa/data/tar_files.h"
#include "worker/jepa/data/tar_index.h"

namespace jepa {
namespace {

absl::StatusOr<ijepa::UniqueFd> OpenFile(const std::string& path) {
  ijepa::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "opening", path);
  return fd;
}

class TarSource final : public ImageSource {
 public:
  TarSource(const TarFiles& tars, size_t tar, FileList files)
      : tars_(tars), tar_(tar), files_(std::move(files)) {}

  int64_t size() const override { return files_.size(); }
  std::string name(int64_t index) const override { return std::string(files_.name(index)); }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    return tars_.Read(tar_, files_.place(index), files_.name(index), bytes);
  }

 private:
  const TarFiles& tars_;
  const size_t tar_;
  FileList files_;
};

}  // namespace

absl::Status ListTar(const std::string& path, FileList& files, Stamp& stamp) {
  IJEPA_ASSIGN_OR_RETURN(const ijepa::UniqueFd fd, OpenFile(path));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ijepa::ErrnoStatus(errno, "listing images", path);
  stamp = StampOf(path, info);
  IJEPA_RETURN_IF_ERROR(ScanTar(fd.get(), path, [&files](const TarMember& member) {
    if (IsImageName(member.name)) files.Add(member.name, {member.offset, member.bytes});
  }));
  files.SortAndKeepLast();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const std::string& path, FileList files,
                                                     TarFiles& tars) {
  IJEPA_ASSIGN_OR_RETURN(const size_t tar, tars.Add(path));
  return std::make_unique<TarSource>(tars, tar, std::move(files));
}

namespace {

// WebDataset: what belongs together has one name up to the first dot after the last slash.
std::string SampleKey(absl::string_view name) {
  const size_t base = name.rfind('/') + 1;  // npos + 1 is 0.
  return std::string(name.substr(0, name.find('.', base)));
}

// The label in a .cls or a .json file; empty if there is none.
std::string LabelIn(absl::string_view name, const std::string& text) {
  if (absl::EndsWith(name, ".cls")) return std::string(absl::StripAsciiWhitespace(text));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return "";
  for (const char* key : {"label", "class", "cls"}) {
    const auto value = json.find(key);
    if (value == json.end()) continue;
    if (value->is_string()) return value->get<std::string>();
    if (value->is_number()) return value->dump();
  }
  return "";
}

// What a scan for labels finds.
struct LabelMembers {
  std::optional<TarMember> table;  // The labels.csv nearest to the root.
  std::vector<TarMember> small;    // .cls and .json.
  std::vector<std::string> images;
};

absl::StatusOr<LabelMembers> FindLabels(int fd, const std::string& path) {
  LabelMembers found;
  const auto depth = [](absl::string_view name) {
    return std::count(name.begin(), name.end(), '/');
  };
  IJEPA_RETURN_IF_ERROR(ScanTar(fd, path, [&](const TarMember& member) {
    const size_t base = member.name.rfind('/') + 1;  // npos + 1 is 0.
    if (member.name.compare(base, std::string::npos, kLabelsName) == 0) {
      const bool nearer =
          !found.table.has_value() || depth(member.name) <= depth(found.table->name);
      if (nearer) found.table = member;
    } else if (IsImageName(member.name)) {
      found.images.push_back(member.name);
    } else if (absl::EndsWith(member.name, ".cls") || absl::EndsWith(member.name, ".json")) {
      found.small.push_back(member);
    }
  }));
  return found;
}

// A table of the labels beside the images.
absl::StatusOr<LabelsFile> ReadSmallLabels(int fd, const LabelMembers& found) {
  std::unordered_map<std::string, std::string> label_of;
  std::string text;
  for (const TarMember& member : found.small) {
    IJEPA_RETURN_IF_ERROR(ReadTarMember(fd, {member.offset, member.bytes}, member.name, text));
    const std::string label = LabelIn(member.name, text);
    if (!label.empty()) label_of.emplace(SampleKey(member.name), label);
  }
  LabelsFile file{"path,class\n", ""};
  for (const std::string& image : found.images) {
    const auto label = label_of.find(SampleKey(image));
    if (label == label_of.end()) continue;
    absl::StrAppend(&file.text, CsvField(image), ",", CsvField(label->second), "\n");
  }
  return file;
}

}  // namespace

absl::StatusOr<LabelsFile> ReadTarLabelsFile(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(const ijepa::UniqueFd fd, OpenFile(path));
  IJEPA_ASSIGN_OR_RETURN(const LabelMembers found, FindLabels(fd.get(), path));
  if (!found.table.has_value()) {
    if (!found.small.empty()) return ReadSmallLabels(fd.get(), found);
    return absl::NotFoundError(
        absl::StrCat(path, " has no ", kLabelsName, " and no .cls or .json"));
  }
  std::string text;
  IJEPA_RETURN_IF_ERROR(
      ReadTarMember(fd.get(), {found.table->offset, found.table->bytes}, found.table->name, text));
  const std::string& name = found.table->name;
  return LabelsFile{std::move(text), name.substr(0, name.size() - sizeof(kLabelsName) + 1)};
}

}  // namespace jepa
