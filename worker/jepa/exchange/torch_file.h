// A file of torch.save: a zip archive with a pickle and the bytes of its tensors. Comes from
// outside; everything is checked before it is used, and nothing in it is executed.
//
//   NAME/data.pkl      the pickle
//   NAME/byteorder     "little"; older files have none
//   NAME/data/0, 1...  one storage each, raw
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_TORCH_FILE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_TORCH_FILE_H_

#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/pickle_reader.h"
#include "worker/jepa/exchange/zip_reader.h"

namespace jepa {

// Movable; owned and called by one thread.
class TorchFile {
 public:
  // Reads and checks the archive's directory, the pickle, and that every storage is there with the
  // size that the pickle says. Tensor data is read on demand. Errors as ZipReader and ParsePickle,
  // without the file's name.
  static absl::StatusOr<TorchFile> Open(std::unique_ptr<ByteSource> source);

  const PickleValue& root() const { return *document_.root; }

  // Copies the elements of a float32 tensor of this file, row-major, into `out`, which holds
  // `count`. Returns DataLoss if the data is altered, InvalidArgument if the tensor is not float32
  // or has another count.
  absl::Status ReadFloats(const PickledTensor& tensor, int64_t count, float* out) const;

 private:
  TorchFile(std::unique_ptr<ByteSource> source, ZipReader archive)
      : source_(std::move(source)), archive_(std::move(archive)) {}
  absl::Status CheckStorages() const;

  std::unique_ptr<ByteSource> source_;
  ZipReader archive_;
  std::string folder_;  // "NAME/"
  PickleDocument document_;
  // Entries whose CRC has been checked apart from reading them; only for views.
  mutable std::set<std::string> verified_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_TORCH_FILE_H_
