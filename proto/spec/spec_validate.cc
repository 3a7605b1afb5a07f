// Every rule of a job, one sentence each. Rules of single numbers are a table; the rest needs more
// than one field and runs only on fields that are right by themselves.
#include "proto/spec/spec_validate.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/spec/kubernetes_rules.h"
#include "proto/spec/nearest.h"
#include "proto/spec/network_rules.h"
#include "proto/spec/schedule_rules.h"
#include "proto/spec/slurm_rules.h"
#include "proto/spec/spec_references.h"
#include "proto/spec/train_config.h"
#include "proto/spec/yaml_tree.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/masks.h"

namespace ijepa::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr bool kOpen = true;
constexpr bool kClosed = false;

// Ranges as in job.proto and train.proto.
constexpr NumberRule kNumberRules[] = {
    {"ranks", 1, 4096},
    {"shards", 1, 65536},
    {"priority", -1000, 1000},
    {"max_restarts", 0, 1000},
    {"max_no_progress", 1, 100},
    {"cpu_threads", 1, 256},
    {"restart_delay_seconds", 0, 600},
    {"data.batch_size", 1, 65536},
    {"data.crop_size", 8, 2048, kClosed, kClosed, false},
    {"data.crop_scale", 0, 1, kOpen},
    {"data.color_jitter_strength", 0, 1},
    {"data.num_workers", 0, 64},
    {"data.max_bad_fraction", 0, 1},
    {"data.channels", 1, 4},
    {"data.bit_depth", 8, 16},
    {"data.mean", 0, 1, kClosed, kClosed, false},
    {"data.std", 0, 1, kOpen, kClosed, false},
    {"mask.patch_size", 1, 64},
    {"mask.num_enc_masks", 1, 4},
    {"mask.num_pred_masks", 1, 16},
    {"mask.enc_mask_scale", 0, 1, kOpen},
    {"mask.pred_mask_scale", 0, 1, kOpen},
    {"mask.aspect_ratio", 0, 10, kOpen},
    {"mask.min_keep", 0, 1024},
    {"meta.pred_depth", 1, 64},
    {"meta.pred_emb_dim", 4, 4096},
    {"meta.embed_dim", 4, 8192},
    {"meta.depth", 1, 128},
    {"meta.num_heads", 1, 128},
    {"meta.mlp_ratio", 0.5, 16},
    {"optimization.epochs", 0, 1e6, kOpen},
    {"optimization.warmup", 0, 1e6},
    {"optimization.start_lr", 0, 10},
    {"optimization.lr", 0, 10},
    {"optimization.final_lr", 0, 10},
    {"optimization.weight_decay", 0, 10},
    {"optimization.final_weight_decay", 0, 10},
    {"optimization.ema", 0, 1, kClosed, kClosed, false},
    {"optimization.ipe_scale", 1, 10},
    {"optimization.betas", 0, 1, kClosed, kOpen, false},
    {"optimization.bucket_mib", 0, 4096},
    {"checkpoint.every_steps", 0, 1e9},
    {"checkpoint.keep_last", 1, 1000},
    {"checkpoint.every_minutes", 0, 1e6},
    {"checkpoint.keep_every_epochs", 0, 1e6},
    {"eval.max_images", 0, 2147483647},
    {"eval.intermediate", 0, 100},
    {"telemetry.every_steps", 0, 1e9},
    {"telemetry.collapse_reports", 1, 1000},
    {"telemetry.collapse_rank_of_max", 0, 1},
    {"telemetry.collapse_rank_of_best", 0, 1},
    {"telemetry.collapse_std", 0, 1},
    {"faults.budget", 0, 10000},
    {"faults.window_steps", 1, 1e9},
    {"kubernetes.ranks_per_pod", 1, 64},
    {"slurm.nodes", 1, 4096},
    {"slurm.cpus_per_rank", 1, 1024},
    {"network.min_gbps", 0, 100000},
};

constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxNameBytes = 63;
constexpr int kMaxInjections = 64;

bool Within(const NumberRule& rule, double value) {
  if (!std::isfinite(value)) return false;
  const bool above = rule.low_open ? value > rule.low : value >= rule.low;
  const bool below = rule.high_open ? value < rule.high : value <= rule.high;
  return above && below;
}

std::string Interval(const NumberRule& rule) {
  return absl::StrCat(rule.low_open ? "(" : "[", NumberText(rule.low), ", ", NumberText(rule.high),
                      rule.high_open ? ")" : "]");
}

// A number of a field, both ends of a range, or all of a list.
std::vector<double> Numbers(const v1::JobSpec& spec, const Field& field) {
  const Message& holder = HolderOf(spec, field);
  const google::protobuf::Reflection& values = *holder.GetReflection();
  switch (field.leaf->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return {static_cast<double>(values.GetInt32(holder, field.leaf))};
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return {values.GetDouble(holder, field.leaf)};
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
    default:
      return {};
  }
  const Message& range = values.GetMessage(holder, field.leaf);
  if (range.GetDescriptor() == v1::RankRange::descriptor()) {
    const auto& ranks = static_cast<const v1::RankRange&>(range);
    return {static_cast<double>(ranks.min()), static_cast<double>(ranks.max())};
  }
  if (range.GetDescriptor() == v1::CropSize::descriptor()) {
    const auto& size = static_cast<const v1::CropSize&>(range);
    return {static_cast<double>(size.height()), static_cast<double>(size.width())};
  }
  if (range.GetDescriptor() == v1::ChannelValues::descriptor()) {
    const auto& values = static_cast<const v1::ChannelValues&>(range).values();
    return {values.begin(), values.end()};
  }
  const auto& floats = static_cast<const v1::FloatRange&>(range);
  return {floats.low(), floats.high()};
}

// Of "must be in".
absl::string_view Subject(const Field& field, size_t numbers) {
  const google::protobuf::Descriptor* type = field.leaf->message_type();
  if (type == v1::ChannelValues::descriptor()) return "each";
  if (numbers == 1) return "it";
  return type == v1::CropSize::descriptor() ? "both sides" : "both ends";
}

bool IsControl(char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }

// The multiple of `step` in [step, limit] nearest to `value`.
int NearestMultiple(int value, int step, int limit) {
  return std::clamp((value + step / 2) / step, 1, std::max(1, limit / step)) * step;
}

// The divisor of `whole` in [1, limit] nearest to `value`.
int NearestDivisor(int whole, int value, int limit) {
  int best = 1;
  for (int divisor = 1; divisor <= std::min(whole, limit); ++divisor) {
    if (whole % divisor == 0 && std::abs(divisor - value) < std::abs(best - value)) best = divisor;
  }
  return best;
}

// What is wrong with one entry of faults.inject; empty if nothing is.
std::string InjectionRule(const v1::FaultInjection& fault, int ranks) {
  constexpr int kMost = 1'000'000'000;
  if (fault.kind() == v1::FAULT_KIND_UNSPECIFIED || !v1::FaultKind_IsValid(fault.kind())) {
    return "kind is missing; write for example {kind: kill, rank: 1, step: 20}";
  }
  if (!fault.has_step() || fault.step() < 1 || fault.step() > kMost) {
    return absl::StrCat("step is ", fault.has_step() ? absl::StrCat(fault.step()) : "missing",
                        "; it must be in [1, 1e9]");
  }
  if (fault.rank() < 0 || fault.rank() >= ranks) {
    return absl::StrCat("rank is ", fault.rank(), "; it must be in [0, ", ranks, "), by ranks");
  }
  if (fault.kind() == v1::FAULT_KIND_TORN_CHECKPOINT && fault.rank() != 0) {
    return absl::StrCat("rank is ", fault.rank(), "; torn_checkpoint strikes at rank 0 only");
  }
  if (fault.steps() < 1 || fault.steps() > kMost) {
    return absl::StrCat("steps is ", fault.steps(), "; it must be in [1, 1e9]");
  }
  if (!(fault.factor() >= 1 && fault.factor() <= 1000)) {
    return absl::StrCat("factor is ", NumberText(fault.factor()), "; it must be in [1, 1000]");
  }
  if (fault.attempt() < 0 || fault.attempt() > 1'000'000) {
    return absl::StrCat("attempt is ", fault.attempt(), "; it must be in [0, 1e6]");
  }
  return "";
}

class Validator {
 public:
  Validator(const v1::JobSpec& spec, const ValidateOptions& options)
      : spec_(spec), options_(options) {}

  absl::Status Run() {
    CheckNumbers();
    CheckTexts();
    CheckRequired();
    CheckIdentity();
    CheckRanks();
    for (const auto& [path, text] : ScheduleViolations(spec_)) {
      if (bad_.count(path) == 0) Violation(path, text);
    }
    for (const auto& [path, text] : SlurmViolations(spec_)) {
      if (bad_.count(path) == 0) Violation(path, text);
    }
    CheckData();
    CheckPixels();
    CheckStart();
    CheckCheckpoint();
    CheckSchedule();
    CheckModel();
    CheckGrid();
    CheckMasks();
    CheckInjections();
    if (const std::string text = LabelProblem(spec_); !text.empty()) Violation("labels", text);
    if (const std::string text = DependencyProblem(spec_); !text.empty()) {
      Violation("depends_on", text);
    }
    for (const auto& [path, text] : KubernetesViolations(spec_.kubernetes())) {
      if (bad_.count(path) == 0) Violation(path, text);
    }
    if (const std::string text = NetworkEnvProblem(spec_.network()); !text.empty()) {
      Violation("network.env", text);
    }
    if (violations_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(violations_, "\n"));
  }

 private:
  void Violation(const std::string& path, absl::string_view text) {
    bad_.insert(path);
    violations_.push_back(absl::StrCat(Place(path), path, " ", text));
  }

  // Where the value was written, else where its section is; empty when neither is known.
  std::string Place(const std::string& path) const {
    if (options_.sources == nullptr) return "";
    for (const std::string& at : {path, path.substr(0, path.find('.'))}) {
      const auto found = options_.sources->find(at);
      if (found != options_.sources->end()) return absl::StrCat(found->second, ": ");
    }
    return "";
  }

  // Whether all these fields are present and right by themselves.
  bool Sound(const std::vector<std::string>& paths) const {
    return std::all_of(paths.begin(), paths.end(), [&](const std::string& path) {
      return bad_.count(path) == 0 && HasField(spec_, *FindField(path));
    });
  }

  void CheckNumbers() {
    for (const NumberRule& rule : kNumberRules) {
      const Field* field = FindField(rule.path);
      if (!HasField(spec_, *field)) continue;
      const std::vector<double> numbers = Numbers(spec_, *field);
      const bool within = std::all_of(numbers.begin(), numbers.end(),
                                      [&](double value) { return Within(rule, value); });
      if (!within) {
        Violation(field->path,
                  absl::StrCat("is ", FieldText(spec_, *field), "; ",
                               Subject(*field, numbers.size()), " must be in ", Interval(rule)));
      } else if (rule.ordered && numbers.size() == 2 && numbers[0] > numbers[1]) {
        Violation(field->path, absl::StrCat("is ", FieldText(spec_, *field),
                                            "; the first must not exceed the second"));
      }
    }
  }

  void CheckTexts() {
    for (const Field& field : AllFields()) {
      if (!HasField(spec_, field)) continue;
      if (field.leaf->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
        CheckEnum(field, FieldText(spec_, field));
      }
      if (field.leaf->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
      const Message& holder = HolderOf(spec_, field);
      const std::string text = holder.GetReflection()->GetString(holder, field.leaf);
      if (text.size() > kMaxTextBytes || std::any_of(text.begin(), text.end(), IsControl)) {
        Violation(field.path,
                  absl::StrCat("has ", text.size(), " bytes; must be one line of at most ",
                               kMaxTextBytes, " bytes without control characters"));
      }
    }
  }

  void CheckEnum(const Field& field, const std::string& text) {
    std::vector<std::string> names;
    for (int i = 1; i < field.leaf->enum_type()->value_count(); ++i) {
      names.push_back(EnumName(*field.leaf->enum_type()->value(i)));
      if (names.back() == text) return;
    }
    Violation(field.path, absl::StrCat("is ", text, "; must be ", absl::StrJoin(names, " or ")));
  }

  void Require(const std::string& path, absl::string_view next_step) {
    if (HasField(spec_, *FindField(path))) return;
    Violation(path, absl::StrCat("is missing and has no default; ", next_step));
  }

  void CheckRequired() {
    Require("name", "name the job, for example --set name=first-run");
    Require("ranks", "set the number of training processes, for example --ranks 1");
    Require("data.batch_size",
            "set the images per shard and step, for example --set data.batch_size=128");
    Require("meta.model_name", "set the encoder, for example --set meta.model_name=vit_base");
    Require("optimization.epochs",
            "set the passes over the data, for example --set optimization.epochs=300");
  }

  void CheckIdentity() {
    if (Sound({"name"}) && !IsPlainName(spec_.name())) {
      Violation("name", absl::StrCat("is \"", Shown(spec_.name()),
                                     "\"; must be 1 to 63 of a-z, 0-9 and -, without - at an end"));
    }
    const std::vector<std::string> devices = {"auto", "cpu", "cuda"};
    const std::string& device = spec_.device();
    if (std::find(devices.begin(), devices.end(), device) == devices.end()) {
      Violation("device",
                absl::StrCat("is \"", Shown(device), "\"; must be auto, cpu or cuda; nearest is ",
                             Nearest(device, devices)));
    }
    const std::string& tag = spec_.logging().write_tag();
    const bool good_tag = !tag.empty() && tag.size() <= kMaxNameBytes && tag[0] != '.' &&
                          std::all_of(tag.begin(), tag.end(), [](char c) {
                            return absl::ascii_isalnum(c) || absl::StrContains("._-", c);
                          });
    if (!good_tag) {
      Violation(
          "logging.write_tag",
          absl::StrCat("is \"", Shown(tag),
                       "\"; must be 1 to 63 of letters, digits, . _ and -, not starting with ."));
    }
  }

  void CheckRanks() {
    if (!Sound({"ranks", "shards"})) return;
    const v1::RankRange& ranks = spec_.ranks();
    if (ranks.min() != ranks.max()) {
      CheckElastic(ranks);
      return;
    }
    if (spec_.shards() % ranks.max() != 0) {
      Violation("ranks", absl::StrCat("is ", ranks.max(), "; it must divide shards, which is ",
                                      spec_.shards(), "; nearest is ",
                                      NearestDivisor(spec_.shards(), ranks.max(), 4096)));
    }
  }

  void CheckElastic(const v1::RankRange& ranks) {
    for (int size = ranks.min(); size <= ranks.max(); ++size) {
      if (spec_.shards() % size == 0) return;
    }
    Violation("ranks", absl::StrCat("is ", FieldText(spec_, *FindField("ranks")),
                                    "; one of these numbers must divide shards, which is ",
                                    spec_.shards(), "; widen the range"));
  }

  void CheckAbsolute(const std::string& path, const std::string& value) {
    if (bad_.count(path) > 0 || value.empty() || value[0] == '/') return;
    Violation(path, absl::StrCat("is \"", Shown(value),
                                 "\"; must be an absolute path, because ranks run in folders of "
                                 "their own; write it from / on"));
  }

  void CheckData() {
    const v1::DataSpec& data = spec_.data();
    CheckAbsolute("data.path", data.path());
    CheckAbsolute("data.root_path", data.root_path());
    CheckAbsolute("data.index_folder", data.index_folder());
    CheckAbsolute("logging.folder", spec_.logging().folder());
    CheckAbsolute("eval.path", spec_.eval().path());
    CheckAbsolute("eval.fit_path", spec_.eval().fit_path());
    if (options_.need_data && data.path().empty() && data.root_path().empty()) {
      Violation("data.path",
                "is missing; name a folder or a tar file of JPEG or PNG images, for example "
                "--data DIR_OR_TAR");
    }
    if (!spec_.eval().fit_path().empty() && spec_.eval().path().empty()) {
      Violation("eval.fit_path",
                "is set without eval.path; name the held-out images in eval.path as well");
    }
  }

  void CheckPixels() {
    const v1::DataSpec& data = spec_.data();
    if (!Sound({"data.channels", "data.bit_depth"})) return;
    if (data.bit_depth() != 8 && data.bit_depth() != 16) {
      Violation("data.bit_depth", absl::StrCat("is ", data.bit_depth(), "; must be 8 or 16"));
    }
    CheckPerChannel("data.mean", data.mean());
    CheckPerChannel("data.std", data.std());
    if (data.channels() == 3 && data.bit_depth() == 8) return;
    for (const char* path : {"data.use_color_distortion", "data.use_gaussian_blur"}) {
      if (FieldText(spec_, *FindField(path)) != "true") continue;
      Violation(path, absl::StrCat("is true, but data.channels is ", data.channels(),
                                   " and data.bit_depth ", data.bit_depth(),
                                   "; it is for 3 channels of 8 bits; set it to false"));
    }
  }

  void CheckPerChannel(const std::string& path, const v1::ChannelValues& values) {
    const int channels = spec_.data().channels();
    Require(path, absl::StrCat("give a list of ", channels,
                               " numbers in [0, 1]; ijepactl data stats prints those of the data"));
    if (!Sound({path}) || values.values_size() == channels) return;
    Violation(path,
              absl::StrCat("is ", FieldText(spec_, *FindField(path)), "; it has ",
                           values.values_size(), " numbers, and data.channels is ", channels));
  }

  // What a new job starts from; its own restarts resume from its own checkpoints.
  void CheckStart() {
    const std::string& path = spec_.meta().read_checkpoint();
    const bool has_folder = !spec_.logging().folder().empty();
    if (!spec_.meta().load_checkpoint()) {
      if (path.empty()) return;
      Violation("meta.read_checkpoint",
                absl::StrCat("is \"", Shown(path),
                             "\", but meta.load_checkpoint is false; set that to true, or this to "
                             "null"));
    } else if (path.empty() && !has_folder) {
      Violation("meta.read_checkpoint",
                "is missing, and meta.load_checkpoint is true; name a .pth.tar, a checkpoint or a "
                "folder of weights, or set logging.folder, whose newest state is taken");
    } else if (!path.empty() && path[0] != '/' && !has_folder) {
      Violation("meta.read_checkpoint",
                absl::StrCat("is \"", Shown(path),
                             "\"; must be an absolute path, or a name inside logging.folder"));
    }
  }

  void CheckCheckpoint() {
    const v1::CheckpointSpec& checkpoint = spec_.checkpoint();
    if (checkpoint.auto_interval() && checkpoint.every_minutes() > 0) {
      Violation("checkpoint.every_minutes",
                absl::StrCat("is ", NumberText(checkpoint.every_minutes()),
                             ", and checkpoint.auto_interval is true; one of them says when to "
                             "save, remove the other"));
    }
    if (checkpoint.keep_best() && spec_.eval().path().empty()) {
      Violation("checkpoint.keep_best",
                "is true without eval.path; name labelled images there, or set it to false");
    }
  }

  void CheckSchedule() {
    if (!Sound({"optimization.warmup", "optimization.epochs"})) return;
    const v1::OptimizationSpec& optimization = spec_.optimization();
    if (optimization.warmup() <= optimization.epochs()) return;
    Violation("optimization.warmup",
              absl::StrCat("is ", NumberText(optimization.warmup()),
                           " epochs; must be at most optimization.epochs, which is ",
                           NumberText(optimization.epochs())));
  }

  // Sets heads_ to the encoder's heads when the encoder is sound.
  void CheckModel() {
    const v1::MetaSpec& meta = spec_.meta();
    if (!Sound({"meta.model_name"})) return;
    if (meta.model_name() == kCustomModel) {
      CheckCustomModel();
    } else {
      CheckNamedModel();
    }
    if (heads_ == 0 || !Sound({"meta.pred_emb_dim"})) return;
    const int step = std::lcm(heads_, 4);
    if (meta.pred_emb_dim() % step == 0) return;
    Violation("meta.pred_emb_dim",
              absl::StrCat("is ", meta.pred_emb_dim(), "; must be a multiple of 4 and of the ",
                           heads_, " heads of ", meta.model_name(), "; nearest is ",
                           NearestMultiple(meta.pred_emb_dim(), step, 4096)));
  }

  void CheckNamedModel() {
    for (const char* path : {"meta.embed_dim", "meta.depth", "meta.num_heads", "meta.mlp_ratio"}) {
      if (!HasField(spec_, *FindField(path))) continue;
      Violation(path,
                absl::StrCat("is set, but ", Shown(spec_.meta().model_name()),
                             " has its own; remove it, or set meta.model_name to ", kCustomModel));
    }
    const auto shape = jepa::EncoderByName(spec_.meta().model_name());
    if (shape.ok()) {
      heads_ = shape->num_heads;
      return;
    }
    std::vector<std::string> names = jepa::EncoderNames();
    names.push_back(kCustomModel);
    Violation("meta.model_name",
              absl::StrCat("is \"", Shown(spec_.meta().model_name()), "\"; must be one of ",
                           absl::StrJoin(names, ", "), "; nearest is ",
                           Nearest(spec_.meta().model_name(), names)));
  }

  void CheckCustomModel() {
    const v1::MetaSpec& meta = spec_.meta();
    Require("meta.embed_dim", "vit_custom needs the encoder's width");
    Require("meta.depth", "vit_custom needs the number of encoder blocks");
    Require("meta.num_heads", "vit_custom needs the number of attention heads");
    if (!Sound({"meta.embed_dim", "meta.num_heads"})) return;
    heads_ = meta.num_heads();
    const int step = std::lcm(heads_, 4);
    if (meta.embed_dim() % step == 0) return;
    Violation("meta.embed_dim",
              absl::StrCat("is ", meta.embed_dim(),
                           "; must be a multiple of 4 and of meta.num_heads, "
                           "which is ",
                           heads_, "; nearest is ", NearestMultiple(meta.embed_dim(), step, 8192)));
  }

  void CheckGrid() {
    if (!Sound({"mask.patch_size", "data.crop_size"})) return;
    const int patch = spec_.mask().patch_size();
    const v1::CropSize& crop = spec_.data().crop_size();
    if (crop.height() % patch == 0 && crop.width() % patch == 0) return;
    v1::JobSpec nearest = spec_;
    nearest.mutable_data()->mutable_crop_size()->set_height(
        NearestMultiple(crop.height(), patch, 2048));
    nearest.mutable_data()->mutable_crop_size()->set_width(
        NearestMultiple(crop.width(), patch, 2048));
    const Field& field = *FindField("data.crop_size");
    Violation("mask.patch_size",
              absl::StrCat("is ", patch, "; it must divide data.crop_size, which is ",
                           FieldText(spec_, field), "; nearest crop size is ",
                           FieldText(nearest, field), ", nearest patch size ",
                           NearestDivisor(std::gcd(crop.height(), crop.width()), patch, 64)));
  }

  // What the sampler itself demands, once every field it reads is right by itself.
  void CheckMasks() {
    for (const Field& field : AllFields()) {
      const bool is_mask = absl::StartsWith(field.path, "mask.");
      if (is_mask && !Sound({field.path})) return;
    }
    if (!Sound({"data.crop_size"})) return;
    if (spec_.mask().balance() && spec_.mask().mode() != v1::MASK_MODE_FIXED) {
      Violation("mask.balance",
                "is true, but mask.mode is reference, whose shards draw as published, each for "
                "itself; set mask.mode to fixed, or mask.balance to false");
    }
    const absl::Status status = jepa::ValidateMasks(MaskFrom(spec_), GridFrom(spec_));
    if (status.ok()) return;
    // Its message begins with the path it is about.
    const std::string message(status.message());
    const std::string path = message.substr(0, message.find(' '));
    if (FindField(path) == nullptr) return Violation("mask", message);
    Violation(path, message.substr(path.size() + 1));
  }

  void CheckInjections() {
    const auto& faults = spec_.faults().inject();
    if (faults.size() > kMaxInjections) {
      Violation("faults.inject", absl::StrCat("has ", faults.size(), " entries; must have at most ",
                                              kMaxInjections));
    }
    for (int i = 0; i < faults.size(); ++i) {
      const std::string rule = InjectionRule(faults[i], spec_.ranks().max());
      if (!rule.empty()) Violation("faults.inject", absl::StrCat("entry ", i + 1, ": ", rule));
    }
  }

  const v1::JobSpec& spec_;
  const ValidateOptions& options_;
  int heads_ = 0;
  std::set<std::string> bad_;
  std::vector<std::string> violations_;
};

}  // namespace

std::optional<NumberRule> NumberRuleFor(absl::string_view path) {
  for (const NumberRule& rule : kNumberRules) {
    if (path == rule.path) return rule;
  }
  return std::nullopt;
}

absl::Status Validate(const v1::JobSpec& resolved, const ValidateOptions& options) {
  return Validator(resolved, options).Run();
}

}  // namespace ijepa::spec
