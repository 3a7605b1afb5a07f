// Layout: magic, version, CRC-32C and size of the body; the body is path, expansions, stamps, parts
// in the order of their structs, each list after its length. Names of a part: all lengths, then all
// bytes. The checksum is looked at first, and every length still is held against what is left.
#include "worker/jepa/data/index_file.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/jepa/checkpoint/crc32c.h"

namespace jepa {
namespace {

constexpr char kMagic[8] = {'i', 'j', 'e', 'p', 'a', 'i', 'd', 'x'};
constexpr uint32_t kVersion = 2;  // 1 took tars without an end mark, and left dead links out.

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t crc;
  uint64_t body_bytes;
};
static_assert(sizeof(Header) == 24 && std::is_trivially_copyable_v<Header>);

template <typename T>
void Put(std::string& out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(std::string& out, absl::string_view text) {
  Put(out, static_cast<uint64_t>(text.size()));
  out.append(text.data(), text.size());
}

void PutFiles(std::string& out, const SourcePart& part) {
  const FileList& files = part.files;
  Put(out, static_cast<uint64_t>(files.size()));
  for (int64_t i = 0; i < files.size(); ++i) {
    Put(out, static_cast<uint32_t>(files.name(i).size()));
    if (part.is_tar) Put(out, files.place(i));
  }
  for (int64_t i = 0; i < files.size(); ++i) out.append(files.name(i).data(), files.name(i).size());
}

// Gives nothing once something did not fit.
class Bytes {
 public:
  explicit Bytes(absl::string_view left) : left_(left) {}

  template <typename T>
  T Get() {
    T value{};
    const absl::string_view bytes = Take(sizeof(T));
    if (whole_) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  std::string Text() { return std::string(Take(Get<uint64_t>())); }
  // The length of a list whose items take at least `item_bytes` each.
  uint64_t Length(uint64_t item_bytes) {
    const auto length = Get<uint64_t>();
    whole_ = whole_ && length <= left_.size() / item_bytes;
    return whole_ ? length : 0;
  }
  absl::string_view Take(uint64_t bytes) {
    whole_ = whole_ && bytes <= left_.size();
    if (!whole_) return {};
    const absl::string_view taken = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return taken;
  }
  bool used_up() const { return whole_ && left_.empty(); }

 private:
  absl::string_view left_;
  bool whole_ = true;
};

void GetFiles(Bytes& bytes, SourcePart& part) {
  const uint64_t count = bytes.Length(sizeof(uint32_t));
  std::vector<uint32_t> sizes(count);
  std::vector<FileList::Place> places(part.is_tar ? count : 0);
  for (uint64_t i = 0; i < count; ++i) {
    sizes[i] = bytes.Get<uint32_t>();
    if (part.is_tar) places[i] = bytes.Get<FileList::Place>();
  }
  for (uint64_t i = 0; i < count; ++i) {
    part.files.Add(bytes.Take(sizes[i]), part.is_tar ? places[i] : FileList::Place());
  }
}

SourceIndex GetIndex(Bytes& bytes) {
  SourceIndex index;
  index.expansions.resize(bytes.Length(2 * sizeof(uint64_t)));
  for (Expansion& expansion : index.expansions) {
    expansion.pattern = bytes.Text();
    expansion.paths.resize(bytes.Length(sizeof(uint64_t)));
    for (std::string& path : expansion.paths) path = bytes.Text();
  }
  index.stamps.resize(bytes.Length(4 * sizeof(uint64_t)));
  for (Stamp& stamp : index.stamps) {
    stamp.path = bytes.Text();
    stamp.bytes = bytes.Get<int64_t>();
    stamp.modified = bytes.Get<int64_t>();
    stamp.changed = bytes.Get<int64_t>();
  }
  index.parts.resize(bytes.Length(3 * sizeof(uint64_t)));
  for (SourcePart& part : index.parts) {
    part.is_tar = bytes.Get<uint8_t>() != 0;
    part.path = bytes.Text();
    part.prefix = bytes.Text();
    GetFiles(bytes, part);
  }
  return index;
}

}  // namespace

std::string EncodeIndex(const std::string& path, const SourceIndex& index) {
  std::string out(sizeof(Header), '\0');
  PutText(out, path);
  Put(out, static_cast<uint64_t>(index.expansions.size()));
  for (const Expansion& expansion : index.expansions) {
    PutText(out, expansion.pattern);
    Put(out, static_cast<uint64_t>(expansion.paths.size()));
    for (const std::string& one : expansion.paths) PutText(out, one);
  }
  Put(out, static_cast<uint64_t>(index.stamps.size()));
  for (const Stamp& stamp : index.stamps) {
    PutText(out, stamp.path);
    for (const int64_t number : {stamp.bytes, stamp.modified, stamp.changed}) Put(out, number);
  }
  Put(out, static_cast<uint64_t>(index.parts.size()));
  for (const SourcePart& part : index.parts) {
    Put(out, static_cast<uint8_t>(part.is_tar));
    PutText(out, part.path);
    PutText(out, part.prefix);
    PutFiles(out, part);
  }
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.body_bytes = out.size() - sizeof(Header);
  header.crc = ExtendCrc32c(0, out.data() + sizeof(Header), header.body_bytes);
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

absl::StatusOr<SourceIndex> DecodeIndex(absl::string_view bytes, const std::string& path) {
  Header header{};
  if (bytes.size() < sizeof(header)) {
    return absl::DataLossError(absl::StrCat("ends after ", bytes.size(), " bytes"));
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  bytes.remove_prefix(sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("does not begin as an index");
  }
  if (header.version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("is of version ", header.version, ", not ", kVersion));
  }
  if (header.body_bytes != bytes.size()) {
    return absl::DataLossError(absl::StrCat("has ", bytes.size(), " bytes of ", header.body_bytes));
  }
  const uint32_t crc = ExtendCrc32c(0, bytes.data(), bytes.size());
  if (crc != header.crc) {
    return absl::DataLossError(absl::StrCat("has checksum ", crc, ", not ", header.crc));
  }
  Bytes body(bytes);
  const std::string listed = body.Text();
  SourceIndex index = GetIndex(body);
  if (!body.used_up()) return absl::DataLossError("has lists that do not fit its size");
  if (listed != path) return absl::FailedPreconditionError(absl::StrCat("lists ", listed));
  return index;
}

}  // namespace jepa
