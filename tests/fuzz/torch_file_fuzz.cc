// Any bytes through the readers of torch.save's files: the answer is a state that can be read, or a
// status. An input that begins with PK is a whole archive; any other is a pickle, which is put into
// an archive here, because no fuzzer guesses a CRC.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/jepa/exchange/pickle_reader.h"
#include "worker/jepa/exchange/sources.h"
#include "worker/jepa/exchange/zip_writer.h"

namespace {

// Sizes in bytes of the storages under keys 0, 1, ...; the corpus refers to them.
constexpr size_t kStorageBytes[] = {4, 12, 64, 0};

// An archive around a pickle, written in memory.
std::string ArchiveOf(const std::string& pickle) {
  const ijepa::UniqueFd memory(::memfd_create("archive", MFD_CLOEXEC));
  if (!memory.valid()) return "";
  auto writer = jepa::ZipWriter::Create(absl::StrCat("/proc/self/fd/", memory.get()));
  if (!writer.ok() || !writer->Add("x/data.pkl", pickle).ok()) return "";
  for (size_t key = 0; key < std::size(kStorageBytes); ++key) {
    const std::string data(kStorageBytes[key], '\x3f');
    if (!writer->Add(absl::StrCat("x/data/", key), data).ok()) return "";
  }
  if (!writer->Finish().ok()) return "";
  std::string bytes(static_cast<size_t>(::lseek(memory.get(), 0, SEEK_END)), '\0');
  const ssize_t count = ::pread(memory.get(), bytes.data(), bytes.size(), 0);
  return count == static_cast<ssize_t>(bytes.size()) ? bytes : "";
}

// A tensor is never larger than the file: it lies in a storage that is there.
void ReadAll(const jepa::StateSource& state, size_t file_bytes) {
  for (const auto& [name, shape] : state.tensors()) {
    const auto count = static_cast<size_t>(jepa::CountOf(shape));
    if (count * sizeof(float) > file_bytes) __builtin_trap();
    std::vector<float> values(count);
    state.Read(name, values.data()).IgnoreError();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.rfind("PK", 0) != 0) {
    const auto document = jepa::ParsePickle(bytes);
    if (!document.ok()) return 0;
    bytes = ArchiveOf(bytes);
  }
  const size_t file_bytes = bytes.size();
  const auto state = jepa::OpenTorchState("x", jepa::BytesInMemory(std::move(bytes)));
  if (state.ok()) ReadAll(**state, file_bytes);
  return 0;
}
