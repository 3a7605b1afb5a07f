// {"version": 1, "crc32c": "...", "body": {...}}; the CRC is of the body without white space, keys
// sorted.
#include "worker/jepa/checkpoint/manifest.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/crc32c.h"

namespace jepa {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kFormat = "ijepa-checkpoint";
// Nesting of a real manifest: file, body, tensors, tensor, shape. Writing JSON out is recursive, so
// that deeper text must not get there.
constexpr int kMaxDepth = 6;
constexpr int64_t kMaxTensorBytes = int64_t{1} << 62;

struct TypeName {
  absl::string_view name;
  TensorType type;
  int64_t bytes;
};
constexpr std::array<TypeName, 3> kTypes = {{{"float32", TensorType::kFloat32, 4},
                                             {"int64", TensorType::kInt64, 8},
                                             {"uint8", TensorType::kUint8, 1}}};

const TypeName& TypeNameOf(TensorType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(),
                       [&](const TypeName& known) { return known.type == type; });
}

std::string Checksum(absl::string_view text) {
  return absl::StrFormat("%08x", ExtendCrc32c(0, text.data(), text.size()));
}

absl::Status Broken(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("manifest: ", what));
}

// Fields of an object, with one error for any that is missing or of another type.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  absl::Status Text(const char* name, std::string& out) const {
    const auto found = Find(name);
    if (found == nullptr || !found->is_string()) return Wrong(name, "a text");
    out = found->get<std::string>();
    return absl::OkStatus();
  }
  absl::Status Count(const char* name, int64_t& out) const {
    const auto found = Find(name);
    if (found == nullptr || !found->is_number_unsigned() ||
        found->get<uint64_t>() > static_cast<uint64_t>(kMaxTensorBytes)) {
      return Wrong(name, "a number that is not negative");
    }
    out = found->get<int64_t>();
    return absl::OkStatus();
  }
  absl::Status List(const char* name, const Json*& out) const {
    out = Find(name);
    return out != nullptr && out->is_array() ? absl::OkStatus() : Wrong(name, "a list");
  }
  absl::Status Object(const char* name, const Json*& out) const {
    out = Find(name);
    return out != nullptr && out->is_object() ? absl::OkStatus() : Wrong(name, "an object");
  }

 private:
  const Json* Find(const char* name) const {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  static absl::Status Wrong(absl::string_view name, absl::string_view rule) {
    return Broken(absl::StrCat("\"", name, "\" is not ", rule));
  }

  const Json& json_;
};

Json BodyOf(const Manifest& manifest) {
  Json tensors = Json::array();
  for (const TensorEntry& tensor : manifest.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"type", std::string(TypeNameOf(tensor.type).name)},
                       {"shape", tensor.shape},
                       {"part", tensor.part},
                       {"offset", tensor.offset},
                       {"bytes", tensor.bytes}});
  }
  Json parts = Json::array();
  for (size_t i = 0; i < manifest.parts.size(); ++i) {
    parts.push_back({{"file", PartName(static_cast<int>(i))},
                     {"bytes", manifest.parts[i].bytes},
                     {"crc32c", absl::StrFormat("%08x", manifest.parts[i].crc32c)}});
  }
  return {{"format", std::string(kFormat)},
          {"job_uid", manifest.meta.job_uid},
          {"generation", manifest.meta.generation},
          {"step", manifest.meta.step},
          {"images_seen", manifest.meta.images_seen},
          {"model", manifest.meta.model},
          {"values", Json(manifest.meta.values)},
          {"tensors", std::move(tensors)},
          {"parts", std::move(parts)}};
}

absl::Status ParseMeta(const Json& body, CheckpointMeta& meta) {
  const Fields fields(body);
  std::string format;
  IJEPA_RETURN_IF_ERROR(fields.Text("format", format));
  if (format != kFormat) return Broken(absl::StrCat("format is not ", kFormat));
  IJEPA_RETURN_IF_ERROR(fields.Text("job_uid", meta.job_uid));
  IJEPA_RETURN_IF_ERROR(fields.Count("generation", meta.generation));
  IJEPA_RETURN_IF_ERROR(fields.Count("step", meta.step));
  IJEPA_RETURN_IF_ERROR(fields.Count("images_seen", meta.images_seen));
  IJEPA_RETURN_IF_ERROR(fields.Text("model", meta.model));
  const Json* values = nullptr;
  IJEPA_RETURN_IF_ERROR(fields.Object("values", values));
  for (const auto& [key, value] : values->items()) {
    if (!value.is_string()) return Broken(absl::StrCat("value \"", key, "\" is not a text"));
    meta.values[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

absl::Status ParsePart(const Json& json, PartEntry& part) {
  const Fields fields(json);
  std::string crc;
  IJEPA_RETURN_IF_ERROR(fields.Count("bytes", part.bytes));
  IJEPA_RETURN_IF_ERROR(fields.Text("crc32c", crc));
  if (crc.size() != 8 || crc.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return Broken("crc32c of a part is not 8 hexadecimal digits");
  }
  part.crc32c = static_cast<uint32_t>(std::stoul(crc, nullptr, 16));
  return absl::OkStatus();
}

absl::Status ParseTensor(const Json& json, TensorEntry& tensor) {
  const Fields fields(json);
  std::string type;
  const Json* shape = nullptr;
  int64_t part = 0;
  IJEPA_RETURN_IF_ERROR(fields.Text("name", tensor.name));
  IJEPA_RETURN_IF_ERROR(fields.Text("type", type));
  IJEPA_RETURN_IF_ERROR(fields.List("shape", shape));
  IJEPA_RETURN_IF_ERROR(fields.Count("part", part));
  IJEPA_RETURN_IF_ERROR(fields.Count("offset", tensor.offset));
  IJEPA_RETURN_IF_ERROR(fields.Count("bytes", tensor.bytes));
  const auto known = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const TypeName& entry) { return entry.name == type; });
  if (known == kTypes.end()) return Broken(absl::StrCat(tensor.name, " has an unknown type"));
  tensor.type = known->type;
  tensor.part = static_cast<int>(std::min<int64_t>(part, 1 << 30));
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned()) return Broken(absl::StrCat(tensor.name, " has a bad shape"));
    tensor.shape.push_back(size.get<int64_t>());
  }
  const absl::StatusOr<int64_t> bytes = TensorBytes(tensor.type, tensor.shape);
  if (!bytes.ok() || *bytes != tensor.bytes) {
    return Broken(
        absl::StrCat(tensor.name, " has ", tensor.bytes, " bytes, not what its shape says"));
  }
  return absl::OkStatus();
}

absl::Status CheckPlaces(const Manifest& manifest) {
  std::vector<const TensorEntry*> order;
  std::set<std::string> names;
  for (const TensorEntry& tensor : manifest.tensors) {
    if (!names.insert(tensor.name).second) return Broken(absl::StrCat(tensor.name, " twice"));
    order.push_back(&tensor);
  }
  const auto place = [](const TensorEntry* tensor) {
    return std::tuple(tensor->part, tensor->offset, tensor->bytes);
  };
  std::sort(order.begin(), order.end(),
            [&](const auto* a, const auto* b) { return place(a) < place(b); });
  int part = -1;
  int64_t end = 0;
  for (const TensorEntry* tensor : order) {
    if (tensor->part != part) end = 0;
    part = tensor->part;
    if (static_cast<size_t>(part) >= manifest.parts.size() || tensor->offset < end ||
        tensor->offset > manifest.parts[part].bytes ||
        tensor->bytes > manifest.parts[part].bytes - tensor->offset) {
      return Broken(absl::StrCat(tensor->name, " lies outside its part or on another tensor"));
    }
    end = tensor->offset + tensor->bytes;
  }
  return absl::OkStatus();
}

}  // namespace

std::string PartName(int part) { return absl::StrFormat("part-%04d.bin", part); }

absl::StatusOr<int64_t> TensorBytes(TensorType type, const std::vector<int64_t>& shape) {
  int64_t bytes = TypeNameOf(type).bytes;
  for (const int64_t size : shape) {
    if (size < 0) return absl::InvalidArgumentError(absl::StrCat("a shape has size ", size));
    if (size != 0 && bytes > kMaxTensorBytes / size) {
      return absl::InvalidArgumentError("a tensor has more than 2^62 bytes");
    }
    bytes *= size;
  }
  return bytes;
}

absl::StatusOr<std::string> ManifestToJson(const Manifest& manifest) {
  try {
    const Json body = BodyOf(manifest);
    const Json file = {
        {"version", kCheckpointVersion}, {"crc32c", Checksum(body.dump())}, {"body", body}};
    return file.dump(1) + "\n";
  } catch (const Json::exception& error) {  // A text that is not UTF-8.
    return absl::InvalidArgumentError(absl::StrCat("manifest cannot be written: ", error.what()));
  }
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view json) {
  int deepest = 0;
  const Json::parser_callback_t measure = [&](int depth, Json::parse_event_t, Json&) {
    deepest = std::max(deepest, depth);
    return depth <= kMaxDepth;
  };
  const Json file = Json::parse(json.begin(), json.end(), measure, /*allow_exceptions=*/false);
  if (file.is_discarded() || deepest > kMaxDepth) return Broken("not the JSON of a manifest");
  const Fields fields(file);
  int64_t version = 0;
  IJEPA_RETURN_IF_ERROR(fields.Count("version", version));
  if (version > kCheckpointVersion) {
    return absl::FailedPreconditionError(absl::StrCat("checkpoint has format version ", version,
                                                      "; this program reads up to ",
                                                      kCheckpointVersion, "; use a newer one"));
  }
  std::string checksum;
  const Json* body = nullptr;
  IJEPA_RETURN_IF_ERROR(fields.Text("crc32c", checksum));
  IJEPA_RETURN_IF_ERROR(fields.Object("body", body));
  if (checksum != Checksum(body->dump())) return Broken("altered: its CRC32C differs");
  Manifest manifest;
  IJEPA_RETURN_IF_ERROR(ParseMeta(*body, manifest.meta));
  const Json* tensors = nullptr;
  const Json* parts = nullptr;
  IJEPA_RETURN_IF_ERROR(Fields(*body).List("tensors", tensors));
  IJEPA_RETURN_IF_ERROR(Fields(*body).List("parts", parts));
  for (const Json& part : *parts) {
    IJEPA_RETURN_IF_ERROR(ParsePart(part, manifest.parts.emplace_back()));
  }
  for (const Json& tensor : *tensors) {
    IJEPA_RETURN_IF_ERROR(ParseTensor(tensor, manifest.tensors.emplace_back()));
  }
  IJEPA_RETURN_IF_ERROR(CheckPlaces(manifest));
  return manifest;
}

}  // namespace jepa
