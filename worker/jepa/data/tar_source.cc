// Image files inside a tar, read in place.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/file_list.h"
#include "worker/jepa/data/sources.h"
#include "worker/jepa/data/tar_index.h"

namespace jepa {
namespace {

// By pread rather than from a mapping: a tar that becomes shorter must cost an image, not end the
// process by SIGBUS.
absl::Status ReadAt(int fd, FileList::Place place, absl::string_view name, std::string& bytes) {
  if (place.bytes > static_cast<uint64_t>(kMaxImageBytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name, " has ", place.bytes, " bytes; at most ", kMaxImageBytes, " are read"));
  }
  bytes.resize(place.bytes);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = pread(fd, bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(place.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::DataLossError(ijepa::ErrnoStatus(errno, "reading", name).message());
    }
    if (got == 0) return absl::DataLossError(absl::StrCat(name, ": the tar became shorter"));
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<ijepa::UniqueFd> OpenFile(const std::string& path) {
  ijepa::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "opening", path);
  return fd;
}

class TarSource final : public ImageSource {
 public:
  TarSource(ijepa::UniqueFd fd, FileList files) : fd_(std::move(fd)), files_(std::move(files)) {}

  int64_t size() const override { return files_.size(); }
  std::string name(int64_t index) const override { return std::string(files_.name(index)); }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    return ReadAt(fd_.get(), files_.place(index), files_.name(index), bytes);
  }

 private:
  ijepa::UniqueFd fd_;
  FileList files_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(ijepa::UniqueFd fd, OpenFile(path));
  FileList files;
  IJEPA_RETURN_IF_ERROR(ScanTar(fd.get(), path, [&files](const TarMember& member) {
    if (IsImageName(member.name)) files.Add(member.name, {member.offset, member.bytes});
  }));
  files.SortAndKeepLast();
  return std::make_unique<TarSource>(std::move(fd), std::move(files));
}

absl::StatusOr<LabelsFile> ReadTarLabelsFile(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(const ijepa::UniqueFd fd, OpenFile(path));
  std::optional<TarMember> nearest;
  const auto depth = [](absl::string_view name) {
    return std::count(name.begin(), name.end(), '/');
  };
  IJEPA_RETURN_IF_ERROR(ScanTar(fd.get(), path, [&](const TarMember& member) {
    const size_t base = member.name.rfind('/') + 1;  // npos + 1 is 0.
    if (member.name.compare(base, std::string::npos, kLabelsName) != 0) return;
    if (!nearest.has_value() || depth(member.name) <= depth(nearest->name)) nearest = member;
  }));
  if (!nearest.has_value()) {
    return absl::NotFoundError(absl::StrCat(path, " has no ", kLabelsName));
  }
  std::string text;
  IJEPA_RETURN_IF_ERROR(ReadAt(fd.get(), {nearest->offset, nearest->bytes}, nearest->name, text));
  const std::string base = nearest->name.substr(0, nearest->name.size() - sizeof(kLabelsName) + 1);
  return LabelsFile{std::move(text), base};
}

}  // namespace jepa
