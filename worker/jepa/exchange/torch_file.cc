// Opening, and gathering of tensor elements.
#include "worker/jepa/exchange/torch_file.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr absl::string_view kPickleName = "/data.pkl";
constexpr absl::string_view kFloatStorage = "FloatStorage";

struct StorageType {
  absl::string_view name;
  int64_t bytes;
};
constexpr std::array<StorageType, 10> kStorageTypes = {{{"FloatStorage", 4},
                                                        {"DoubleStorage", 8},
                                                        {"HalfStorage", 2},
                                                        {"BFloat16Storage", 2},
                                                        {"LongStorage", 8},
                                                        {"IntStorage", 4},
                                                        {"ShortStorage", 2},
                                                        {"CharStorage", 1},
                                                        {"ByteStorage", 1},
                                                        {"BoolStorage", 1}}};

uint64_t ElementBytesOf(const std::string& type) {
  for (const StorageType& known : kStorageTypes) {
    if (known.name == type) return static_cast<uint64_t>(known.bytes);
  }
  return 1;
}

// Not more than the storage has, so that nothing overflows.
int64_t CountOf(const PickledTensor& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) {
    if (size == 0) return 0;
    count *= size;
  }
  return count;
}

bool IsContiguous(const PickledTensor& tensor) {
  int64_t stride = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

// The element with the highest place in the storage, counted from the tensor's first.
int64_t LastElement(const PickledTensor& tensor) {
  int64_t last = 0;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  return last;
}

// Copies the elements of a view over `data` in row-major order, like an odometer.
void Gather(const PickledTensor& tensor, const std::vector<float>& data, int64_t count,
            float* out) {
  std::vector<int64_t> index(tensor.shape.size(), 0);
  int64_t place = 0;
  for (int64_t i = 0; i < count; ++i) {
    out[i] = data[static_cast<size_t>(place)];
    for (size_t axis = index.size(); axis-- > 0;) {
      place += tensor.strides[axis];
      if (++index[axis] < tensor.shape[axis]) break;
      place -= tensor.strides[axis] * tensor.shape[axis];
      index[axis] = 0;
    }
  }
}

absl::StatusOr<std::string> ReadEntry(const ZipReader& archive, const ZipEntry& entry) {
  std::string text(entry.bytes, '\0');
  IJEPA_RETURN_IF_ERROR(archive.Read(entry, text.data()));
  return text;
}

// The one entry that ends with /data.pkl, one folder deep.
absl::StatusOr<const ZipEntry*> FindPickle(const ZipReader& archive) {
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& entry : archive.entries()) {
    if (!absl::EndsWith(entry.name, kPickleName)) continue;
    if (pickle != nullptr) return absl::DataLossError("has more than one data.pkl");
    pickle = &entry;
  }
  if (pickle == nullptr || std::count(pickle->name.begin(), pickle->name.end(), '/') != 1) {
    return absl::DataLossError("has no NAME/data.pkl; it is not a file of torch.save");
  }
  if (pickle->bytes > kMaxPickleBytes) {
    return absl::DataLossError(absl::StrCat("its pickle has ", pickle->bytes, " bytes; at most ",
                                            kMaxPickleBytes, " are read"));
  }
  return pickle;
}

}  // namespace

absl::StatusOr<TorchFile> TorchFile::Open(std::unique_ptr<ByteSource> source) {
  std::array<char, 2> magic{};
  if (source->size() >= magic.size()) {
    IJEPA_RETURN_IF_ERROR(source->ReadAt(0, magic.data(), magic.size()));
  }
  if (magic[0] == '\x80') {
    return absl::UnimplementedError(
        "is of torch before 1.6; load it in Python and save it again, which makes a zip archive");
  }
  IJEPA_ASSIGN_OR_RETURN(ZipReader archive, ZipReader::Open(*source));
  TorchFile file(std::move(source), std::move(archive));
  IJEPA_ASSIGN_OR_RETURN(const ZipEntry* const pickle, FindPickle(file.archive_));
  file.folder_ = pickle->name.substr(0, pickle->name.size() - kPickleName.size() + 1);
  const ZipEntry* order = file.archive_.Find(absl::StrCat(file.folder_, "byteorder"));
  if (order != nullptr) {
    constexpr absl::string_view kLittle = "little";
    if (order->bytes != kLittle.size()) return absl::DataLossError("its byteorder is not little");
    IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadEntry(file.archive_, *order));
    if (text != kLittle) return absl::DataLossError("its byteorder is not little");
  }
  IJEPA_ASSIGN_OR_RETURN(const std::string bytes, ReadEntry(file.archive_, *pickle));
  IJEPA_ASSIGN_OR_RETURN(file.document_, ParsePickle(bytes));
  IJEPA_RETURN_IF_ERROR(file.CheckStorages());
  return file;
}

absl::Status TorchFile::CheckStorages() const {
  for (const PickleValue& value : document_.values) {
    if (value.kind != PickleKind::kStorage) continue;
    const PickledStorage& storage = *value.storage;
    const std::string name = absl::StrCat(folder_, "data/", storage.key);
    const ZipEntry* entry = archive_.Find(name);
    if (entry == nullptr) return absl::DataLossError(absl::StrCat("has no entry ", name));
    const uint64_t width = ElementBytesOf(storage.type);
    if (entry->bytes % width != 0 || entry->bytes / width != static_cast<uint64_t>(storage.count)) {
      return absl::DataLossError(absl::StrCat("entry ", name, " has ", entry->bytes,
                                              " bytes; its pickle says ", storage.count,
                                              " elements of ", storage.type));
    }
  }
  return absl::OkStatus();
}

absl::Status TorchFile::ReadFloats(const PickledTensor& tensor, int64_t count, float* out) const {
  const PickledStorage& storage = *tensor.storage;
  if (storage.type != kFloatStorage) {
    return absl::InvalidArgumentError(
        absl::StrCat("is of ", storage.type, "; FloatStorage (float32) is read; convert it first"));
  }
  if (CountOf(tensor) != count) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", CountOf(tensor), " elements; expected ", count));
  }
  if (count == 0) return absl::OkStatus();
  const ZipEntry& entry = *archive_.Find(absl::StrCat(folder_, "data/", storage.key));
  const bool contiguous = IsContiguous(tensor);
  if (contiguous && count == storage.count) return archive_.Read(entry, out);
  if (verified_.count(storage.key) == 0) {
    IJEPA_RETURN_IF_ERROR(archive_.Verify(entry));
    verified_.insert(storage.key);
  }
  const auto offset = static_cast<uint64_t>(tensor.offset) * sizeof(float);
  if (contiguous) {
    return archive_.ReadRange(entry, offset, out, static_cast<size_t>(count) * sizeof(float));
  }
  std::vector<float> data(static_cast<size_t>(LastElement(tensor)) + 1);
  IJEPA_RETURN_IF_ERROR(
      archive_.ReadRange(entry, offset, data.data(), data.size() * sizeof(float)));
  Gather(tensor, data, count, out);
  return absl::OkStatus();
}

}  // namespace jepa
