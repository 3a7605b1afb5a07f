// Header checks follow the order: lengths, JSON, each tensor alone, all ranges together.
#include "worker/jepa/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

using Json = nlohmann::json;

struct TypeName {
  absl::string_view name;
  SafetensorsType type;
  int64_t bytes;
};

constexpr std::array<TypeName, 6> kTypes = {{{"F32", SafetensorsType::kFloat32, 4},
                                             {"F64", SafetensorsType::kFloat64, 8},
                                             {"I64", SafetensorsType::kInt64, 8},
                                             {"I32", SafetensorsType::kInt32, 4},
                                             {"U8", SafetensorsType::kUint8, 1},
                                             {"BOOL", SafetensorsType::kBool, 1}}};

// More dimensions than any tensor has; bounds the work that a hostile header can ask for.
constexpr size_t kMaxDimensions = 16;

absl::Status Broken(absl::string_view name, absl::string_view rule) {
  return absl::DataLossError(absl::StrCat("tensor \"", name, "\": ", rule));
}

// nlohmann keeps the last of equal keys; two readers could then disagree about a file.
absl::StatusOr<Json> ParseObject(absl::string_view text) {
  std::set<std::string> keys;
  std::string repeated;
  const Json::parser_callback_t callback = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 &&
        !keys.insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), callback, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::DataLossError("header is not a JSON object");
  }
  if (!repeated.empty()) return Broken(repeated, "appears twice in the header");
  return json;
}

absl::Status ParseType(const Json& json, SafetensorsEntry& entry) {
  const auto found = json.find("dtype");
  if (found == json.end() || !found->is_string()) return Broken(entry.name, "has no dtype");
  const auto& name = found->get_ref<const std::string&>();
  for (const TypeName& type : kTypes) {
    if (type.name == name) {
      entry.type = type.type;
      return absl::OkStatus();
    }
  }
  return absl::UnimplementedError(
      absl::StrCat("tensor \"", entry.name, "\" is ", name.substr(0, 32),
                   "; F32, F64, I64, I32, U8 and BOOL are read; convert it first"));
}

// Sets shape and bytes, and refuses products past 2^63.
absl::Status ParseShape(const Json& json, SafetensorsEntry& entry) {
  const auto found = json.find("shape");
  if (found == json.end() || !found->is_array() || found->size() > kMaxDimensions) {
    return Broken(entry.name, "shape must be a list of at most 16 sizes");
  }
  uint64_t bytes = static_cast<uint64_t>(ElementBytes(entry.type));
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  for (const Json& size : *found) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > kMax) {
      return Broken(entry.name, "shape has an entry that is not a size");
    }
    const uint64_t value = size.get<uint64_t>();
    if (value != 0 && bytes > kMax / value) return Broken(entry.name, "shape overflows");
    bytes *= value;
    entry.shape.push_back(static_cast<int64_t>(value));
  }
  entry.bytes = bytes;
  return absl::OkStatus();
}

absl::Status ParseRange(const Json& json, uint64_t data_bytes, SafetensorsEntry& entry) {
  const auto found = json.find("data_offsets");
  if (found == json.end() || !found->is_array() || found->size() != 2 ||
      !(*found)[0].is_number_unsigned() || !(*found)[1].is_number_unsigned()) {
    return Broken(entry.name, "data_offsets must be [begin, end]");
  }
  const uint64_t begin = (*found)[0].get<uint64_t>();
  const uint64_t end = (*found)[1].get<uint64_t>();
  if (begin > end || end > data_bytes) {
    return Broken(entry.name, absl::StrCat("range [", begin, ", ", end, ") is outside the ",
                                           data_bytes, " bytes of data"));
  }
  if (end - begin != entry.bytes) {
    return Broken(entry.name,
                  absl::StrCat("range has ", end - begin, " bytes, its shape needs ", entry.bytes));
  }
  entry.offset = begin;
  return absl::OkStatus();
}

absl::Status ParseMetadata(const Json& json, std::map<std::string, std::string>& metadata) {
  if (!json.is_object()) return absl::DataLossError("__metadata__ is not an object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return absl::DataLossError(absl::StrCat("__metadata__ entry \"", key, "\" is not text"));
    }
    metadata[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

absl::Status CheckTiling(const std::vector<SafetensorsEntry>& tensors, uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  uint64_t position = 0;
  for (const SafetensorsEntry* entry : order) {
    if (entry->offset < position) return Broken(entry->name, "overlaps another tensor");
    if (entry->offset > position) return Broken(entry->name, "leaves a hole before it");
    position += entry->bytes;
  }
  if (position != data_bytes) {
    return absl::DataLossError(
        absl::StrCat("tensors cover ", position, " of ", data_bytes, " bytes of data"));
  }
  return absl::OkStatus();
}

absl::Status ReadAt(int fd, uint64_t offset, void* out, uint64_t bytes, const std::string& path) {
  char* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t count = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ijepa::ErrnoStatus(errno, "reading", path);
    if (count == 0) return absl::DataLossError(absl::StrCat(path, " ends at byte ", offset));
    to += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

absl::Status InFile(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

int64_t ElementBytes(SafetensorsType type) {
  for (const TypeName& known : kTypes) {
    if (known.type == type) return known.bytes;
  }
  return 0;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t data_bytes) {
  IJEPA_ASSIGN_OR_RETURN(const Json object, ParseObject(json));
  SafetensorsHeader header;
  for (const auto& [name, value] : object.items()) {
    if (name == "__metadata__") {
      IJEPA_RETURN_IF_ERROR(ParseMetadata(value, header.metadata));
      continue;
    }
    SafetensorsEntry entry;
    entry.name = name;
    if (!value.is_object()) return Broken(name, "is not described by an object");
    IJEPA_RETURN_IF_ERROR(ParseType(value, entry));
    IJEPA_RETURN_IF_ERROR(ParseShape(value, entry));
    IJEPA_RETURN_IF_ERROR(ParseRange(value, data_bytes, entry));
    header.tensors.push_back(std::move(entry));
  }
  IJEPA_RETURN_IF_ERROR(CheckTiling(header.tensors, data_bytes));
  return header;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.fd_.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.fd_.valid()) return ijepa::ErrnoStatus(errno, "opening", path);
  struct stat info {};
  if (::fstat(file.fd_.get(), &info) != 0) return ijepa::ErrnoStatus(errno, "examining", path);
  if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path, " is not a file"));
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  std::array<unsigned char, 8> prefix{};
  if (size < prefix.size()) return absl::DataLossError(absl::StrCat(path, " has no header"));
  IJEPA_RETURN_IF_ERROR(ReadAt(file.fd_.get(), 0, prefix.data(), prefix.size(), path));
  uint64_t length = 0;
  for (size_t i = 0; i < prefix.size(); ++i) length |= static_cast<uint64_t>(prefix[i]) << (8 * i);
  if (length > kMaxSafetensorsHeaderBytes || length > size - prefix.size()) {
    return absl::DataLossError(absl::StrCat(path, ": header of ", length, " bytes; the file has ",
                                            size, ", the limit is ", kMaxSafetensorsHeaderBytes));
  }
  std::string json(length, '\0');
  IJEPA_RETURN_IF_ERROR(ReadAt(file.fd_.get(), prefix.size(), json.data(), length, path));
  file.data_start_ = prefix.size() + length;
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(json, size - file.data_start_);
  if (!header.ok()) return InFile(header.status(), path);
  file.header_ = *std::move(header);
  for (size_t i = 0; i < file.header_.tensors.size(); ++i) {
    file.by_name_[file.header_.tensors[i].name] = i;
  }
  return file;
}

const SafetensorsEntry* SafetensorsFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

absl::Status SafetensorsFile::Read(const SafetensorsEntry& entry, void* out) const {
  return ReadAt(fd_.get(), data_start_ + entry.offset, out, entry.bytes, path_);
}

}  // namespace jepa
