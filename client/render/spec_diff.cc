// See spec_diff.h.
#include "client/render/spec_diff.h"

#include "absl/strings/str_cat.h"
#include "proto/spec/fields.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"

namespace ijepa::client {

Table SpecDifferences(const v1::JobSpec& resolved) {
  Table table({{"KEY"}, {"VALUE"}, {"DEFAULT"}});
  for (const spec::Field& field : spec::AllFields()) {
    std::string value = spec::FieldText(resolved, field);
    if (value.empty()) continue;
    v1::JobSpec without = resolved;
    if (!spec::ApplySetting(&without, absl::StrCat(field.path, "=")).ok()) continue;
    spec::ResolveDefaults(&without);
    std::string standard = spec::FieldText(without, field);
    if (standard != value) table.AddRow({field.path, value, standard.empty() ? "-" : standard});
  }
  return table;
}

}  // namespace ijepa::client
