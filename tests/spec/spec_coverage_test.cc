// Walks the descriptor of JobSpec: a field that has no default, no rule or no reader fails here,
// and so does a rule or default that differs from the comment beside the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/spec/fields.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "proto/spec/train_config.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using google::protobuf::FieldDescriptor;

// Required: Validate demands them.
const std::set<std::string> kRequired = {"name", "data.batch_size", "meta.model_name",
                                         "optimization.epochs"};
// Absent means none.
const std::set<std::string> kAbsentMeansNone = {"data.root_path",
                                                "data.image_folder",
                                                "data.path",
                                                "logging.folder",
                                                "eval.path",
                                                "meta.read_checkpoint",
                                                "meta.embed_dim",
                                                "meta.depth",
                                                "meta.num_heads",
                                                "meta.mlp_ratio",
                                                "eval.fit_path",
                                                "meta.precision",
                                                "data.index_folder",
                                                "faults.inject",
                                                "labels",
                                                "depends_on",
                                                "time_limit",
                                                "priority_class",
                                                "kubernetes.image",
                                                "kubernetes.node_selector",
                                                "kubernetes.tolerations",
                                                "kubernetes.pod_priority_class",
                                                "kubernetes.volumes",
                                                "kubernetes.resources",
                                                "kubernetes.service_account",
                                                "kubernetes.local_queue",
                                                "kubernetes.pod_patch",
                                                "network.env"};
// Read by coordinator and tools, not by a rank.
const std::set<std::string> kControlPlaneOnly = {"name",
                                                 "ranks",
                                                 "priority",
                                                 "max_restarts",
                                                 "max_no_progress",
                                                 "checkpoint.keep_last",
                                                 "queue",
                                                 "time_limit",
                                                 "priority_class",
                                                 "preemptible",
                                                 "topology.required",
                                                 "topology.preferred",
                                                 "restart_delay_seconds",
                                                 "labels",
                                                 "network.env",
                                                 "depends_on"};
// Absent means the backend's own.
bool IsOfSlurm(const Field& field) { return absl::StartsWith(field.path, "slurm."); }
bool IsControlPlaneOnly(const Field& field) {
  return absl::StartsWith(field.path, "on_failure.") ||
         absl::StartsWith(field.path, "kubernetes.") || IsOfSlurm(field) ||
         kControlPlaneOnly.count(field.path) > 0;
}
// Accepted for the sake of published files; no effect here.
const std::set<std::string> kWithoutEffect = {"meta.copy_data"};

TEST(SpecCoverageTest, EveryFieldHasADefaultOrIsListed) {
  v1::JobSpec spec;
  ResolveDefaults(&spec);
  for (const Field& field : AllFields()) {
    const bool listed =
        kRequired.count(field.path) + kAbsentMeansNone.count(field.path) > 0 || IsOfSlurm(field);
    EXPECT_NE(HasField(spec, field), listed) << field.path;
  }
  v1::JobSpec again = spec;
  ResolveDefaults(&again);
  EXPECT_TRUE(Same(again, spec)) << "not idempotent";
}

TEST(SpecCoverageTest, DefaultsChangeNothingThatIsThere) {
  const v1::JobSpec sparse = *ReadJobSpec(kSmallestJob, "small.yaml");
  v1::JobSpec resolved = sparse;
  ResolveDefaults(&resolved);
  for (const Field& field : AllFields()) {
    if (!HasField(sparse, field)) continue;
    EXPECT_EQ(FieldText(sparse, field), FieldText(resolved, field));
  }
  EXPECT_EQ(Resolved({"data.crop_size=32", "mask.patch_size=4"}).mask().mode(),
            v1::MASK_MODE_FIXED);
  EXPECT_EQ(Resolved({"data.crop_size=192"}).mask().mode(), v1::MASK_MODE_REFERENCE);
  EXPECT_EQ(Resolved({"ranks=6"}).shards(), 6);
  const v1::JobSpec custom = Resolved({"meta.model_name=vit_custom"});
  EXPECT_EQ(custom.meta().mlp_ratio(), 4);
}

bool IsRange(const Field& field) {
  return !field.leaf->is_repeated() && field.leaf->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

bool IsNumber(const Field& field) {
  if (field.leaf->is_repeated()) return false;  // Its entries have rules of their own.
  switch (field.leaf->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return true;
    default:
      return false;  // uint64 seed: any value; bool, text, enum: rules of their own
  }
}

// Of "must be in" in a message.
absl::string_view Subject(const Field& field) {
  if (!IsRange(field)) return "it";
  if (field.leaf->message_type() == v1::ChannelValues::descriptor()) return "each";
  return field.path == "data.crop_size" ? "both sides" : "both ends";
}

// Whether Validate refuses the value and says the field's path.
bool Refuses(const Field& field, double value) {
  const bool whole = field.leaf->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE;
  const bool ranks = field.path == "ranks";
  std::string text = whole && (ranks || !IsRange(field)) ? absl::StrCat(static_cast<int64_t>(value))
                                                         : NumberText(value);
  if (IsRange(field) && !ranks) text = absl::StrCat("[", text, ", ", text, "]");
  v1::JobSpec spec = Resolved();
  if (!ApplySetting(&spec, absl::StrCat(field.path, "=", text)).ok()) return true;
  const std::string message(Validate(spec).message());
  return absl::StrContains(message, absl::StrCat(field.path, " is ", FieldText(spec, field), "; ",
                                                 Subject(field), " must be in "));
}

TEST(SpecCoverageTest, EveryNumberIsRefusedOutOfItsRange) {
  for (const Field& field : AllFields()) {
    if (!IsNumber(field)) continue;
    const auto rule = NumberRuleFor(field.path);
    ASSERT_TRUE(rule.has_value()) << field.path << " has no rule";
    EXPECT_TRUE(Refuses(field, rule->low_open ? rule->low : rule->low - 1)) << field.path;
    EXPECT_TRUE(Refuses(field, rule->high_open ? rule->high : rule->high + 1)) << field.path;
    EXPECT_FALSE(Refuses(field, rule->low_open ? rule->high : rule->low)) << field.path;
  }
}

TEST(SpecCoverageTest, NumbersThatAreNoneAreRefused) {
  for (const Field& field : AllFields()) {
    if (field.leaf->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) continue;
    v1::JobSpec spec = Resolved();
    auto* holder = const_cast<google::protobuf::Message*>(&HolderOf(spec, field));
    holder->GetReflection()->SetDouble(holder, field.leaf, std::nan(""));
    EXPECT_THAT(std::string(Validate(spec).message()),
                ::testing::HasSubstr(absl::StrCat(field.path, " is nan")));
  }
}

// What the .proto files say beside each field: path -> comment.
std::map<std::string, std::string> Comments() {
  std::map<std::string, std::string> comments;
  const std::regex message_line(R"(^message (\w+) \{)");
  const std::regex field_line(R"(^  (?:optional |repeated )?[\w.]+ (\w+) = \d+;)");
  for (const char* file : {"proto/ijepa/v1/job.proto", "proto/ijepa/v1/train.proto"}) {
    std::ifstream lines(file);
    std::string line, message, comment;
    bool in_comment = false;
    while (std::getline(lines, line)) {
      std::smatch found;
      if (std::regex_search(line, found, message_line)) message = found[1];
      if (absl::StartsWith(line, "  // ")) {
        comment = absl::StrCat(in_comment ? comment + " " : "", line.substr(5));
        in_comment = true;
        continue;
      }
      in_comment = false;
      if (std::regex_search(line, found, field_line)) {
        comments[absl::StrCat(message, ".", found[1].str())] = comment;
      }
    }
  }
  return comments;
}

std::string CommentOf(const Field& field) {
  static const auto* comments = new std::map<std::string, std::string>(Comments());
  const auto found =
      comments->find(absl::StrCat(field.leaf->containing_type()->name(), ".", field.leaf->name()));
  return found == comments->end() ? "" : found->second;
}

TEST(SpecCoverageTest, RulesAreThoseOfTheComments) {
  const std::regex interval(R"((?:Range|Within) ([\[(])([^,]+), ([^\])]+)([\])]))");
  int compared = 0;
  for (const Field& field : AllFields()) {
    const std::string comment = CommentOf(field);
    ASSERT_FALSE(comment.empty()) << field.path << " has no comment";
    std::smatch found;
    if (!IsNumber(field) || !std::regex_search(comment, found, interval)) continue;
    const auto rule = NumberRuleFor(field.path);
    double low = 0, high = 0;
    ASSERT_TRUE(absl::SimpleAtod(found[2].str(), &low));
    EXPECT_EQ(rule->low, low) << field.path;
    EXPECT_EQ(rule->low_open, found[1] == "(") << field.path;
    if (!absl::SimpleAtod(found[3].str(), &high)) continue;  // [0, epochs]
    EXPECT_EQ(rule->high, high) << field.path;
    EXPECT_EQ(rule->high_open, found[4] == ")") << field.path;
    ++compared;
  }
  EXPECT_GE(compared, 30);
}

TEST(SpecCoverageTest, DefaultsAreThoseOfTheComments) {
  const std::regex phrase(R"(Default:? (\[[^\]]*\]|"[^"]*"|[\w.+-]*[\w]))");
  int compared = 0;
  for (const Field& field : AllFields()) {
    const std::string comment = CommentOf(field);
    std::smatch found;
    if (!std::regex_search(comment, found, phrase)) continue;
    v1::JobSpec spec = Resolved({"meta.model_name=vit_custom"});
    const std::string actual = FieldText(spec, field);
    std::string stated = found[1];
    if (field.leaf->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      stated = absl::AsciiStrToLower(stated);
    }
    if (!ApplySetting(&spec, absl::StrCat(field.path, "=", stated)).ok()) continue;
    if (kRequired.count(field.path) > 0) continue;
    EXPECT_EQ(FieldText(spec, field), actual) << field.path << ": " << comment;
    ++compared;
  }
  EXPECT_GE(compared, 25);
}

// Every member of a TrainConfig as text.
std::string Digest(const jepa::TrainConfig& c) {
  const auto range = [](jepa::Range r) { return absl::StrCat(r.low, "-", r.high, " "); };
  const auto join = [](std::initializer_list<double> values) {
    std::string text;
    for (const double value : values) absl::StrAppend(&text, value, " ");
    return text;
  };
  std::string faults;
  for (const jepa::InjectedFault& f : c.faults.inject) {
    faults += join({1.0 * static_cast<int>(f.kind), 1.0 * f.rank, 1.0 * f.step, 1.0 * f.steps,
                    f.factor, 1.0 * f.attempt});
  }
  return absl::StrCat(
      faults,
      join({1.0 * c.data.batch_size, 1.0 * c.data.crop_size.height, 1.0 * c.data.crop_size.width,
            1.0 * c.data.horizontal_flip, 1.0 * c.data.color_distortion,
            c.data.color_jitter_strength, 1.0 * c.data.gaussian_blur, 1.0 * c.data.num_workers,
            1.0 * c.data.pin_memory, c.data.max_bad_fraction, 1.0 * static_cast<int>(c.data.order),
            1.0 * c.data.exif_orientation, 1.0 * c.data.channels, 1.0 * c.data.bit_depth,
            1.0 * c.data.dct_scaling}),
      range(c.data.crop_scale), c.data.path, " ", c.data.index_folder, " ",
      absl::StrJoin(c.model.scale.mean, " "), " ", absl::StrJoin(c.model.scale.std, " "), " ",
      join({1.0 * c.mask.patch_size, 1.0 * c.mask.num_enc_masks, 1.0 * c.mask.num_pred_masks,
            1.0 * c.mask.min_keep, 1.0 * c.mask.allow_overlap, 1.0 * static_cast<int>(c.mask.mode),
            1.0 * c.mask.balance}),
      range(c.mask.enc_mask_scale), range(c.mask.pred_mask_scale), range(c.mask.aspect_ratio),
      join({1.0 * c.model.grid_height, 1.0 * c.model.grid_width, 1.0 * c.model.embed_dim,
            1.0 * c.model.depth, 1.0 * c.model.num_heads, 1.0 * c.model.mlp_hidden,
            1.0 * c.model.pred_depth, 1.0 * c.model.pred_embed_dim, 1.0 * c.model.pred_mlp_hidden}),
      join({c.optimization.epochs, c.optimization.warmup, c.optimization.start_lr,
            c.optimization.lr, c.optimization.final_lr, c.optimization.weight_decay,
            c.optimization.final_weight_decay, c.optimization.ipe_scale, c.optimization.beta1,
            c.optimization.beta2, 1.0 * c.optimization.zero1,
            1.0 * static_cast<int>(c.optimization.gradient_wire), 1.0 * c.optimization.bucket_mib}),
      range(c.optimization.ema),
      join({1.0 * static_cast<int>(c.init), 1.0 * c.seed, 1.0 * static_cast<int>(c.precision),
            1.0 * static_cast<int>(c.device), 1.0 * static_cast<int>(c.cuda_graphs),
            1.0 * c.deterministic, 1.0 * c.activation_checkpointing, 1.0 * c.cpu_threads,
            1.0 * c.checkpoint.every_steps, c.checkpoint.every_minutes,
            1.0 * c.checkpoint.auto_interval, 1.0 * c.checkpoint.keep_every_epochs,
            1.0 * c.checkpoint.at_probes, 1.0 * c.eval.max_images, 1.0 * c.eval.intermediate,
            1.0 * c.shards}),
      join({1.0 * c.telemetry.every_steps, 1.0 * c.telemetry.collapse.reports,
            1.0 * static_cast<int>(c.faults.non_finite), 1.0 * c.faults.budget,
            1.0 * c.faults.window_steps, 1.0 * c.network.check, c.network.min_gbps}),
      range(c.telemetry.collapse.rank_of_max), range(c.telemetry.collapse.rank_of_best),
      range(c.telemetry.collapse.std), c.eval.path, " ", c.eval.fit_path, " ",
      c.checkpoint.start_from, " ", c.checkpoint.start_tag);
}

// Another value of the field, as YAML; good enough for the conversion, not always valid.
std::string AnotherValue(const v1::JobSpec& spec, const Field& field) {
  static const std::map<std::string, std::string> kWords = {
      {"device", "cpu"},
      {"meta.model_name", "vit_tiny"},
      {"mask.mode", "fixed"},
      {"init.mode", "reference"},
      {"faults.non_finite", "rollback"},
      {"ranks", "2"},
      {"data.crop_size", "[96, 112]"},
      {"data.rng", "reference"},
      {"faults.inject", "[{step: 5}]"},
      {"labels", "{team: vision}"},
      {"kubernetes.node_selector", "{pool: a}"},
      {"kubernetes.resources", "{cpu: \"4\"}"},
      {"kubernetes.tolerations", "[{key: a}]"},
      {"kubernetes.volumes", "[{claim: a}]"},
      {"slurm.options", "{exclude: n1}"},
      {"network.env", "{NCCL_DEBUG: INFO}"},
      {"topology.required", "rack"},
      {"topology.preferred", "rack"},
      {"depends_on", "[{job: other}]"},
      {"meta.precision", "bf16"},
      {"optimization.gradient_wire", "bf16"},
      {"meta.cuda_graphs", "off"}};
  const auto word = kWords.find(field.path);
  if (word != kWords.end()) return word->second;
  const std::string now = FieldText(spec, field);
  if (absl::StartsWith(field.path, "on_failure.")) return now == "fail" ? "retry" : "fail";
  switch (field.leaf->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return now == "true" ? "false" : "true";
    case FieldDescriptor::CPPTYPE_STRING:
      return "/another";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "[0.123, 0.456]";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberText(std::stod(now.empty() ? "0" : now) + 0.5);
    default:
      return now.empty() || now == "0" ? "4" : absl::StrCat(2 * std::stoll(now));
  }
}

std::string DigestOf(const v1::JobSpec& spec) {
  v1::RankLaunch launch;
  launch.set_world_size(1);
  launch.set_checkpoint_folder("/checkpoints");
  *launch.mutable_spec() = spec;
  const auto config = TrainConfigFrom(launch, NodeFacts{true, true});
  return config.ok() ? Digest(*config) : std::string(config.status().message());
}

TEST(SpecCoverageTest, EveryFieldReachesTheRankOrIsListed) {
  const v1::JobSpec with_path = Resolved(
      {"meta.model_name=vit_custom", "meta.embed_dim=64", "meta.depth=2", "meta.num_heads=4"});
  v1::JobSpec with_root = with_path;
  for (const char* setting : {"data={path: , root_path: /no-such-folder, image_folder: f}",
                              "meta.load_checkpoint=true", "logging.folder=/logs"}) {
    EXPECT_TRUE(ApplySetting(&with_root, setting).ok()) << setting;
  }
  for (const Field& field : AllFields()) {
    bool read = false;
    for (const v1::JobSpec& base : {with_path, with_root}) {
      v1::JobSpec changed = base;
      const std::string setting = absl::StrCat(field.path, "=", AnotherValue(base, field));
      const absl::Status applied = ApplySetting(&changed, setting);
      ASSERT_TRUE(applied.ok()) << applied;
      ASSERT_FALSE(Same(changed, base)) << setting;
      read = read || DigestOf(changed) != DigestOf(base);
    }
    const bool listed = IsControlPlaneOnly(field) || kWithoutEffect.count(field.path) > 0;
    EXPECT_NE(read, listed) << field.path;
  }
}

}  // namespace
}  // namespace ijepa::spec
