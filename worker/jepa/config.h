// Everything a training run depends on, as plain values: the whole input of jepa::Train besides its
// RunHost. Built from the job's spec by worker/rank/train_config_from_spec, constant for the run.
// Ranges are those of proto/ijepa/v1/train.proto and are validated before this struct is made.
#ifndef IJEPA_WORKER_JEPA_CONFIG_H_
#define IJEPA_WORKER_JEPA_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

namespace jepa {

// A closed range [low, high].
struct Range {
  double low = 0;
  double high = 0;
};

// Pixels.
struct Size {
  int height = 0;
  int width = 0;
};

// How samples are ordered within an epoch (data/sample_order.h).
enum class OrderMode { kKeyed, kReference };

struct DataConfig {
  int batch_size = 0;        // Images per shard and step.
  Size crop_size{224, 224};  // Multiples of MaskConfig::patch_size.
  Range crop_scale{0.3, 1.0};
  bool horizontal_flip = false;
  bool color_distortion = false;
  double color_jitter_strength = 0;
  bool gaussian_blur = false;
  std::string path;     // Folder or tar of images, published layouts already resolved.
  int num_workers = 1;  // Decoding threads per rank; 0: in the training thread.
  bool pin_memory = true;
  double max_bad_fraction = 0.01;
  OrderMode order = OrderMode::kKeyed;
  bool exif_orientation = false;  // Turn images as their EXIF says.
  int channels = 3;               // Of an image, in [1, 4].
  int bit_depth = 8;              // Of a value: 8, or 16 in the machine's byte order.
  bool dct_scaling = false;       // Decode large JPEGs small (data/view_scale.h).
  std::string index_folder;       // Keeps lists of images between starts; empty: none is kept.
};

// How pixel values become the input of a network: (value / (2^bit_depth - 1) - mean) / std, per
// channel. Default: as published, the statistics of ImageNet.
struct PixelScale {
  int bit_depth = 8;
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> std{0.229, 0.224, 0.225};
};

enum class MaskMode { kReference, kFixed };

struct MaskConfig {
  int patch_size = 16;
  int num_enc_masks = 1;
  int num_pred_masks = 4;
  Range enc_mask_scale{0.85, 1.0};
  Range pred_mask_scale{0.15, 0.2};
  Range aspect_ratio{0.75, 1.5};
  int min_keep = 10;
  bool allow_overlap = false;
  MaskMode mode = MaskMode::kReference;
  bool balance = false;  // Deal masks so that shards keep alike (mask_streams.h); kFixed only.
};

// Shapes of both networks; named encoders are resolved to numbers by EncoderByName (arithmetic.h).
struct ModelConfig {
  int grid_height = 0;  // Patches per side.
  int grid_width = 0;
  int patch_size = 16;
  int channels = 3;
  PixelScale scale;  // Of `channels` channels.
  int embed_dim = 0;
  int depth = 0;
  int num_heads = 0;
  int mlp_hidden = 0;  // int(embed_dim * ratio); not 4x for vit_giant.
  int pred_depth = 0;
  int pred_embed_dim = 0;
  int pred_mlp_hidden = 0;
};

enum class Precision { kFp32, kBf16 };

struct OptimizationConfig {
  double epochs = 1;
  double warmup = 0;  // Epochs.
  double start_lr = 2e-4;
  double lr = 1e-3;
  double final_lr = 1e-6;
  double weight_decay = 0.04;
  double final_weight_decay = 0.4;
  Range ema{0.996, 1.0};
  double ipe_scale = 1;
  double beta1 = 0.9;
  double beta2 = 0.999;
  bool zero1 = false;                          // Moments and update are shared out over ranks.
  Precision gradient_wire = Precision::kFp32;  // What gradients travel as; sums are fp32.
  int bucket_mib = 25;  // Of gradient per all-reduce beside the backward pass; 0: one after it.
};

enum class InitMode { kReference, kClean };
enum class Device { kCpu, kCuda };
// Whether a step is captured as a CUDA graph per mask shape. kAuto: where launching its kernels
// takes longer than running them (model/shard_pass.h).
enum class CudaGraphs { kAuto, kOn, kOff };

struct CheckpointConfig {
  int every_steps = 1000;               // 0: steps alone never make one due, but for the last.
  double every_minutes = 0;             // 0: never by the clock.
  bool auto_interval = false;           // By the clock, at intervals chosen here (save_interval.h).
  double hours_between_failures = 500;  // Expected; for auto_interval.
  int keep_every_epochs = 0;            // Saves at the end of every K-th epoch; 0: not.
  bool at_probes = false;               // Saves whenever a probe is due.
  std::string folder;                   // On storage that every rank of the job sees.
  std::vector<std::string>
      resume;  // Committed checkpoint folders, newest first. Empty: start as start_from says.
  // What a job starts from: a state or weights, or a folder whose newest state is taken
  // (exchange/start_state.h). Empty: random weights at step 0.
  std::string start_from;
  std::string start_tag;  // Of TAG-latest.pth.tar in such a folder.
};

struct EvalConfig {
  std::string path;      // Empty: no probe.
  std::string fit_path;  // Empty: 5-fold cross-validation within path.
  int max_images = 0;    // 0: all.
  int intermediate = 0;
  bool skip_initial = false;    // The probe at step 0 is stored already.
  int64_t last_probe_step = 0;  // Probes up to this step are stored already.
};

// When the collapse alarm is raised (below .low) and cleared (above .high); collapse_alarm.h.
struct CollapseConfig {
  int reports = 5;  // In a row.
  Range rank_of_max{0.02, 0.04};
  Range rank_of_best{0.2, 0.3};
  Range std{0.06, 0.12};
};

struct TelemetryConfig {
  int every_steps = 50;  // 0: never.
  CollapseConfig collapse;
};

enum class NonFiniteAction { kSkip, kRollBack, kFail };

enum class FaultKind {
  kKill,
  kSegfault,
  kStop,
  kDeadlock,
  kSlow,
  kNan,
  kTornCheckpoint,
  kNoSpace,
  kIoError
};

// As ijepa.v1.FaultInjection.
struct InjectedFault {
  FaultKind kind = FaultKind::kKill;
  int rank = 0;
  int64_t step = 1;     // From 1.
  int64_t steps = 1;    // Of kSlow and kNan.
  double factor = 3;    // Of kSlow.
  int64_t attempt = 1;  // Generation in which it strikes; 0: every one.
};

// Steps whose loss or gradient is not finite (non_finite_policy.h), and faults to be made
// (fault_injector.h).
struct FaultsConfig {
  NonFiniteAction non_finite = NonFiniteAction::kSkip;
  int budget = 10;  // Such steps among the last window_steps that are borne.
  int window_steps = 1000;
  std::vector<InjectedFault> inject;
};

// The start-up check of an attempt of several ranks (dist/network_check.h).
struct NetworkConfig {
  bool check = true;
  double min_gbps = 0;  // Gbit/s; the attempt fails where a link is slower. 0: never.
};

struct TrainConfig {
  DataConfig data;
  MaskConfig mask;
  ModelConfig model;
  OptimizationConfig optimization;
  InitMode init = InitMode::kClean;
  uint64_t seed = 0;
  Precision precision = Precision::kFp32;
  CudaGraphs cuda_graphs = CudaGraphs::kAuto;
  // On CUDA, only kernels that give the same bits from run to run. On CPU all do.
  bool deterministic = false;
  // Keeps only the input of each block for the backward pass and computes the block again there: a
  // third more arithmetic, a fraction of the activation memory, the same bits.
  bool activation_checkpointing = false;
  Device device = Device::kCpu;
  int device_index = 0;
  int cpu_threads = 1;
  CheckpointConfig checkpoint;
  EvalConfig eval;
  TelemetryConfig telemetry;
  FaultsConfig faults;
  NetworkConfig network;
  std::string
      job_uid;  // Written into checkpoints; a checkpoint of another job is refused on resume.
  int64_t generation = 1;
  int rank = 0;
  int world_size = 1;
  int shards = 1;                          // world_size divides shards.
  std::string host_address = "127.0.0.1";  // Where peers reach this rank (Gloo).
  std::string node;                        // Its name, for messages.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CONFIG_H_
