// A training state on disk: named tensors in part files, a manifest that is written last, a rename
// that makes it whole.
//
//   step-000000000120.g3/   made as step-000000000120.g3.tmp, renamed when everything is synced
//     part-0000.bin         raw little-endian bytes, each tensor at a multiple of 64
//     manifest.json         format version, job, generation, step, tensors, parts with size and
//                           CRC32C
//
// Nothing here decides what counts: a folder is resumable once the coordinator has committed it. No
// LibTorch.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace jepa {

enum class TensorType { kFloat32, kInt64, kUint8 };

// A tensor to be written; `data` is borrowed for the call. Without data, `fill` puts the bytes into
// memory of that size when they are needed, one tensor at a time. Neither is needed where only the
// layout counts.
struct TensorToSave {
  std::string name;  // "encoder/blocks.0.attn.qkv.weight", "adam/exp_avg/...", unique.
  TensorType type = TensorType::kFloat32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  std::function<absl::Status(void*)> fill = nullptr;
};

// What a manifest says besides its tensors.
struct CheckpointMeta {
  std::string job_uid;
  int64_t generation = 0;
  int64_t step = 0;  // Finished steps.
  int64_t images_seen = 0;
  std::string model;  // One line that two compatible checkpoints share: sizes of both networks.
  std::map<std::string, std::string>
      values;  // Small state as text: seeds, mask sampler states (base64), ...
};

struct CheckpointSummary {
  std::string path;  // Final folder.
  int64_t bytes = 0;
};

struct CheckpointOptions {
  // A part ends with the tensor that passes this; tensors are not split. Smaller: more files, and
  // less to lose sight of when one is damaged.
  int64_t part_bytes = int64_t{1} << 30;
  // Called before each change of the file system with its name ("rename", ...). An error takes the
  // place of the operation; tests die here.
  std::function<absl::Status(absl::string_view)> before_operation;
};

struct Manifest;

// Writes one checkpoint, by one process or by several that share the storage. All plan the same
// layout; one calls Begin, then each part is written by anyone, then one calls Publish. Until
// Publish has renamed the folder nothing resumable exists. Thread-compatible.
class CheckpointWriter {
 public:
  // Names, types and shapes of `tensors` say the layout, which is the same for the same tensors and
  // options. Returns InvalidArgument for equal names, negative numbers in `meta` or text that is
  // not UTF-8.
  static absl::StatusOr<CheckpointWriter> Plan(const std::string& folder,
                                               const CheckpointMeta& meta,
                                               const std::vector<TensorToSave>& tensors,
                                               const CheckpointOptions& options = {});
  CheckpointWriter(CheckpointWriter&&) noexcept;
  CheckpointWriter& operator=(CheckpointWriter&&) noexcept;
  ~CheckpointWriter();

  int parts() const;
  int64_t bytes() const;
  // Which tensors a part holds, as indices into the planned list.
  std::vector<size_t> TensorsOf(int part) const;

  // Makes the unfinished folder; an older one of the same name is replaced. Returns
  // ResourceExhausted if the disk would get full ("needs 1.2 GB, /data has 0.3 GB free"),
  // AlreadyExists if this generation has written this step before (it is not touched).
  absl::Status Begin() const;
  // Writes parts of the planned tensors, whose data must be there; they are durable on return.
  // Returns their CRC32C.
  absl::StatusOr<std::vector<uint32_t>> WriteParts(const std::vector<int>& parts,
                                                   const std::vector<TensorToSave>& tensors) const;
  // Manifest, fsync, rename, fsync. `crc32c`: of every part, in order.
  absl::StatusOr<CheckpointSummary> Publish(const std::vector<uint32_t>& crc32c);
  // Removes what Begin and WriteParts made. Returns `why`, and what could not be removed.
  absl::Status Abandon(const absl::Status& why) const;

 private:
  CheckpointWriter(std::string path, std::unique_ptr<Manifest> manifest, CheckpointOptions options);
  absl::Status WriteManifest() const;
  absl::Status Before(absl::string_view operation) const;

  std::string path_;  // Final folder.
  std::unique_ptr<Manifest> manifest_;
  CheckpointOptions options_;
};

// The whole of it by one process. Leaves nothing behind on failure. Blocks for the whole write.
absl::StatusOr<CheckpointSummary> WriteCheckpoint(const std::string& folder,
                                                  const CheckpointMeta& meta,
                                                  const std::vector<TensorToSave>& tensors,
                                                  const CheckpointOptions& options = {});

struct TensorEntry {
  std::string name;
  TensorType type = TensorType::kFloat32;
  std::vector<int64_t> shape;
  int part = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
};

// Where a state is restored from.
class TensorReader {
 public:
  virtual ~TensorReader() = default;
  // Copies a tensor into `out`. Returns NotFound, or InvalidArgument if type or shape differ from
  // what is expected.
  virtual absl::Status Read(const std::string& name, TensorType type,
                            const std::vector<int64_t>& shape, void* out) const = 0;
};

// An opened, verified checkpoint. Movable.
class CheckpointReader : public TensorReader {
 public:
  // Reads the manifest and verifies size and CRC32C of every part. Returns NotFound if there is no
  // manifest, DataLoss naming the part that is short, altered or missing, FailedPrecondition for a
  // newer format version.
  static absl::StatusOr<CheckpointReader> Open(const std::string& path);

  const CheckpointMeta& meta() const { return meta_; }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  absl::Status Read(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                    void* out) const override;

 private:
  std::string path_;
  CheckpointMeta meta_;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, size_t> by_name_;
};

// Deletes the folders of `paths` that lie in `folder` and are checkpoints by name; fine if they are
// gone. Unfinished folders (".tmp") of generations below `generation` are deleted too. Other paths
// are left alone: InvalidArgument names the first, after all the rest is done.
absl::Status DeleteCheckpoints(const std::string& folder, const std::vector<std::string>& paths,
                               int64_t generation);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_H_
