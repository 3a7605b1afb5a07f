// The settable fields of a JobSpec, found in its descriptor, so that reader, writer, defaults,
// rules and tables need no list of their own. FloatRange, RankRange, CropSize and a list of
// messages count as one value.
#ifndef IJEPA_PROTO_SPEC_FIELDS_H_
#define IJEPA_PROTO_SPEC_FIELDS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Where the value of a path was written: "job.yaml:12:3" or "--set mask.patch_size=5".
using SourceMap = std::map<std::string, std::string>;

// One value of a JobSpec. Pointers live for ever.
struct Field {
  std::string path;                                            // "mask.patch_size", "shards"
  const google::protobuf::FieldDescriptor* section = nullptr;  // null at the top level
  const google::protobuf::FieldDescriptor* leaf = nullptr;
};

// Every field, in the order of the protos; sections come after the fields beside them.
const std::vector<Field>& AllFields();

// The field at `path`, or null.
const Field* FindField(absl::string_view path);

// The message that holds the field: the spec itself, or its section (the empty one when absent).
const google::protobuf::Message& HolderOf(const v1::JobSpec& spec, const Field& field);

// Whether the spec gives the field a value.
bool HasField(const v1::JobSpec& spec, const Field& field);

// The value as it is written in YAML ("[0.3, 1]", "fixed", "[{kind: kill, step: 9}]"); empty when
// absent.
std::string FieldText(const v1::JobSpec& spec, const Field& field);

// Text of YAML that reads back as `text`: in double quotes unless it is safe without.
std::string TextAsYaml(const std::string& text);

// Lower-case name of an enum value without its prefix: MASK_MODE_FIXED is "fixed".
std::string EnumName(const google::protobuf::EnumValueDescriptor& value);

// Shortest decimal text that reads back as the same double.
std::string NumberText(double value);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_FIELDS_H_
