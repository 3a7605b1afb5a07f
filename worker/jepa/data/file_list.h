// Names and places of many files in little memory: one text for all names.
#ifndef IJEPA_WORKER_JEPA_DATA_FILE_LIST_H_
#define IJEPA_WORKER_JEPA_DATA_FILE_LIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace jepa {

inline constexpr char kImageEndings[] = ".jpg, .jpeg, .png or .webp";

// Ends in .jpg, .jpeg, .png or .webp in any case, and is no "._" side file of macOS.
bool IsImageName(absl::string_view name);

// Thread-compatible; the names live as long as the list.
class FileList {
 public:
  struct Place {
    uint64_t offset = 0;  // In the tar; unused for folders.
    uint64_t bytes = 0;
  };

  void Add(absl::string_view name, Place place);
  // Orders by the bytes of the names. Of equal names the one added last stays, as a tar that was
  // appended to is unpacked.
  void SortAndKeepLast();

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  absl::string_view name(int64_t index) const { return NameOf(entries_[index]); }
  Place place(int64_t index) const { return entries_[index].place; }

 private:
  struct Entry {
    uint64_t name_begin;
    uint64_t name_size;
    Place place;
  };
  absl::string_view NameOf(const Entry& entry) const {
    return absl::string_view(names_).substr(entry.name_begin, entry.name_size);
  }

  std::string names_;
  std::vector<Entry> entries_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_FILE_LIST_H_
