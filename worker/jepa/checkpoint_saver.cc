// Saving beside training; see checkpoint_saver.h.
#include "worker/jepa/checkpoint_saver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

// No file so large that one damaged byte costs much to find.
constexpr int64_t kMaxPartBytes = int64_t{1} << 30;

template <typename T>
bool Ready(const std::future<T>& future) {
  return future.valid() && future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

CheckpointSaver::CheckpointSaver(const TrainConfig& config, RunHost& host, Communicator& peers,
                                 const SaverOptions& options)
    : config_(config), host_(host), peers_(peers), options_(options) {}

CheckpointSaver::~CheckpointSaver() {
  if (publishing_.valid()) publishing_.wait();
  if (!writing_.valid()) return;
  writing_.wait();
  if (!leads()) return;
  const absl::Status left = writer_->Abandon(absl::OkStatus());
  if (!left.ok()) ijepa::LogWarning("an unfinished checkpoint remains: ", left.message());
}

absl::Status CheckpointSaver::AgreeOn(const absl::Status& mine, absl::string_view doing) {
  float failures = mine.ok() ? 0.0f : 1.0f;
  const absl::Status shared = peers_.AllReduceSum(&failures, 1);
  IJEPA_RETURN_IF_ERROR(mine);
  IJEPA_RETURN_IF_ERROR(shared);
  if (failures == 0) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("another rank failed ", doing, "; its log says why"));
}

absl::Status CheckpointSaver::Named(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("checkpoint of step ", info_.step, ": ", status.message()));
}

absl::Status CheckpointSaver::Plan(const RunState& state, int64_t step) {
  info_ = {.step = step};
  const std::vector<TensorToSave> layout = state.learner.StateLayout();
  int64_t total = 0;
  for (const TensorToSave& tensor : layout) total += BytesOf(tensor);
  CheckpointOptions options;
  options.before_operation = options_.before_operation;
  options.part_bytes = std::clamp<int64_t>(total / config_.world_size, 1, kMaxPartBytes);
  const CheckpointMeta meta = MetaOf(config_, state, step);
  IJEPA_ASSIGN_OR_RETURN(writer_,
                         CheckpointWriter::Plan(config_.checkpoint.folder, meta, layout, options));
  info_ = {.step = step,
           .images_seen = meta.images_seen,
           .bytes = writer_->bytes(),
           .steps_per_epoch = state.figures.steps_per_epoch};
  share_.parts.clear();
  share_.tensors.clear();
  for (int part = config_.rank; part < writer_->parts(); part += config_.world_size) {
    share_.parts.push_back(part);
    const std::vector<size_t> tensors = writer_->TensorsOf(part);
    share_.tensors.insert(share_.tensors.end(), tensors.begin(), tensors.end());
  }
  return leads() ? writer_->Begin() : absl::OkStatus();
}

absl::Status CheckpointSaver::Start(const RunState& state, int64_t step) {
  IJEPA_RETURN_IF_ERROR(Finish());
  const absl::Duration start = options_.clock->Monotonic();
  // The space is checked before anybody copies.
  absl::Status agreed = AgreeOn(Plan(state, step), "to begin it");
  if (agreed.ok())
    agreed = AgreeOn(CopyTensors(state.learner, share_.tensors, share_.state), "to copy its share");
  if (!agreed.ok()) {
    return Named(leads() && writer_.has_value() ? writer_->Abandon(agreed) : agreed);
  }
  began_ = options_.clock->Monotonic();
  copied_ = began_ - start;
  stalled_ += copied_;
  writing_ = std::async(std::launch::async,
                        [this] { return writer_->WriteParts(share_.parts, share_.state.tensors); });
  return absl::OkStatus();
}

float CheckpointSaver::written() const { return Ready(writing_) ? 1.0f : 0.0f; }

absl::Status CheckpointSaver::Advance(float written_ranks) {
  if (Ready(publishing_)) IJEPA_RETURN_IF_ERROR(Named(publishing_.get()));
  if (!writing_.valid() || written_ranks < static_cast<float>(config_.world_size)) {
    return absl::OkStatus();
  }
  return ExchangeAndPublish();
}

absl::StatusOr<std::vector<uint32_t>> CheckpointSaver::ExchangeChecksums() {
  constexpr float kHalf = 65536;  // A CRC travels as two halves that a float holds exactly.
  const bool written = writing_.wait_for(absl::ToChronoMilliseconds(options_.write_timeout)) ==
                       std::future_status::ready;
  absl::StatusOr<std::vector<uint32_t>> mine = absl::DeadlineExceededError(absl::StrCat(
      "its parts were not written within ", absl::FormatDuration(options_.write_timeout), "; ",
      config_.checkpoint.folder, " hangs"));
  if (written) mine = writing_.get();
  IJEPA_RETURN_IF_ERROR(AgreeOn(mine.status(), "to write its parts"));
  const auto parts = static_cast<size_t>(writer_->parts());
  std::vector<float> halves(2 * parts);
  for (size_t i = 0; i < share_.parts.size(); ++i) {
    const auto part = static_cast<size_t>(share_.parts[i]);
    halves[2 * part] = static_cast<float>((*mine)[i] >> 16);
    halves[2 * part + 1] = static_cast<float>((*mine)[i] & 0xffff);
  }
  IJEPA_RETURN_IF_ERROR(peers_.AllReduceSum(halves.data(), static_cast<int64_t>(halves.size())));
  std::vector<uint32_t> checksums;
  for (size_t part = 0; part < parts; ++part) {
    checksums.push_back(static_cast<uint32_t>(halves[2 * part] * kHalf) |
                        static_cast<uint32_t>(halves[2 * part + 1]));
  }
  return checksums;
}

absl::Status CheckpointSaver::ExchangeAndPublish() {
  const absl::StatusOr<std::vector<uint32_t>> checksums = ExchangeChecksums();
  if (!checksums.ok()) {
    // A thread that still writes would write into what is removed here.
    const bool abandon = leads() && !writing_.valid();
    return Named(abandon ? writer_->Abandon(checksums.status()) : checksums.status());
  }
  if (!leads()) return absl::OkStatus();
  publishing_ =
      std::async(std::launch::async, [this, all = *checksums] { return PublishAndCommit(all); });
  return absl::OkStatus();
}

// On the thread of rank 0.
absl::Status CheckpointSaver::PublishAndCommit(const std::vector<uint32_t>& checksums) {
  IJEPA_ASSIGN_OR_RETURN(const CheckpointSummary summary, writer_->Publish(checksums));
  CheckpointInfo info = info_;
  info.path = summary.path;
  info.stall_seconds = absl::ToDoubleSeconds(copied_);
  info.write_seconds = absl::ToDoubleSeconds(options_.clock->Monotonic() - began_);
  if (options_.before_commit) IJEPA_RETURN_IF_ERROR(options_.before_commit(info));
  IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> deletable,
                         host_.Commit(info, options_.commit_timeout));
  const absl::Status deleted =
      DeleteCheckpoints(config_.checkpoint.folder, deletable, config_.generation);
  // Retention is repeated at the next commit; training does not end for it.
  if (!deleted.ok()) ijepa::LogWarning("old checkpoints remain: ", deleted.message());
  return absl::OkStatus();
}

absl::Status CheckpointSaver::WaitForPublication() {
  return publishing_.valid() ? publishing_.get() : absl::OkStatus();
}

absl::Status CheckpointSaver::Finish() {
  if (!writer_.has_value()) return absl::OkStatus();
  const absl::Duration start = options_.clock->Monotonic();
  if (writing_.valid()) IJEPA_RETURN_IF_ERROR(ExchangeAndPublish());
  const absl::Status finished = Named(AgreeOn(WaitForPublication(), "to commit it"));
  writer_.reset();
  stalled_ += options_.clock->Monotonic() - start;
  return finished;
}

}  // namespace jepa
