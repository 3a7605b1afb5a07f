#!/usr/bin/env python3
"""The API's own rules: style of the .proto files, and nothing that an older client or store relies on has changed.

Compares the descriptors with tests/tidy/api_baseline.txt, one line per field, value and method. A line that is gone or
different breaks those who were built against it. `--update` writes the baseline anew: lines may be added, and removed
only where the number is reserved. Prints every breach; exit 1 if there is one.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINE = Path(__file__).with_name("api_baseline.txt")
# Answers that are the thing itself (AIP-131): a method need not wrap it.
RESOURCES = {"Job", "JobArray", "JobExplanation", "Node", "ServerInfo", "Token", "LogLines", "CoordinatorMessage"}


def descriptors(root):
    """The FileDescriptorSet of all .proto files under root/proto, as nested lists of (name, value)."""
    proto = root / "proto"
    files = sorted(str(p.relative_to(proto)) for p in proto.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{proto}", f"--descriptor_set_out={out.name}", *files], check=True)
        text = subprocess.run(["protoc", "--decode=google.protobuf.FileDescriptorSet", "google/protobuf/descriptor.proto"],
                              stdin=open(out.name, "rb"), check=True, capture_output=True, text=True).stdout
    return parse(iter(text.splitlines()))


def parse(lines):
    """Text format, one field per line."""
    found = []
    for line in lines:
        line = line.strip()
        if line == "}":
            break
        if line.endswith("{"):
            found.append((line[:-1].strip(), parse(lines)))
        elif ":" in line:
            name, value = line.split(":", 1)
            found.append((name.strip(), value.strip().strip('"')))
    return found


def values(node, name):
    return [value for key, value in node if key == name]


def first(node, name, default=""):
    return next(iter(values(node, name)), default)


class Api:
    """Lines of the baseline, numbers that are reserved, and breaches of style."""

    def __init__(self, root):
        self.lines, self.reserved, self.breaches = set(), set(), []
        for file in values(descriptors(root), "file"):
            package = first(file, "package")
            for message in values(file, "message_type"):
                self.message(package, message)
            for enum in values(file, "enum_type"):
                self.enum(package, enum)
            for service in values(file, "service"):
                self.service(package, service)

    def message(self, scope, message):
        name = f"{scope}.{first(message, 'name')}"
        for span in values(message, "reserved_range"):
            self.reserved.update((name, n) for n in range(int(first(span, "start", "0")), int(first(span, "end"))))
        for field in values(message, "field"):
            label, kind = first(field, "label")[6:].lower(), first(field, "type")[5:].lower()
            type_name = first(field, "type_name") or kind
            presence = " optional" if first(field, "proto3_optional") == "true" else ""
            self.lines.add(f"field {name} {first(field, 'number')} {first(field, 'name')} {label}{presence} {type_name}")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", first(field, "name")):
                self.breaches.append(f"{name}.{first(field, 'name')}: a field is lower_case")
        for nested in values(message, "nested_type"):
            if first(first(nested, "options", []), "map_entry") != "true":
                self.message(name, nested)
        for enum in values(message, "enum_type"):
            self.enum(name, enum)

    def enum(self, scope, enum):
        name = f"{scope}.{first(enum, 'name')}"
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", first(enum, "name")).upper() + "_"
        for value in values(enum, "value"):
            number = first(value, "number", "0")
            self.lines.add(f"value {name} {number} {first(value, 'name')}")
            if not first(value, "name").startswith(prefix):
                self.breaches.append(f"{name}: {first(value, 'name')} does not begin with {prefix}")
            if number == "0" and first(value, "name") != prefix + "UNSPECIFIED":
                self.breaches.append(f"{name}: the value 0 is not {prefix}UNSPECIFIED")

    def service(self, scope, service):
        name = f"{scope}.{first(service, 'name')}"
        methods = values(service, "method")
        if len(methods) > 15:
            self.breaches.append(f"{name}: {len(methods)} methods; at most 15, another service takes the rest")
        for method in methods:
            call, takes, gives = (first(method, key) for key in ("name", "input_type", "output_type"))
            streams = "".join(f" {key}" for key in ("client_streaming", "server_streaming") if first(method, key) == "true")
            self.lines.add(f"method {name} {call} {takes} {gives}{streams}")
            if first(method, "client_streaming") == "true":
                continue
            if takes.split(".")[-1] != call + "Request":
                self.breaches.append(f"{name}.{call} takes {takes}; must take {call}Request")
            if gives.split(".")[-1] not in RESOURCES | {call + "Response"}:
                self.breaches.append(f"{name}.{call} gives {gives}; must give {call}Response or a resource")


def broken(api, baseline):
    """Lines that somebody may rely on and that are no longer so."""
    gone = []
    for line in sorted(baseline - api.lines):
        kind, owner, number = line.split()[:3]
        if kind == "field" and (owner, int(number)) in api.reserved:
            continue
        gone.append(f"changed or gone, and clients or stores rely on it: {line}")
    return gone


def main():
    root = Path(sys.argv[sys.argv.index("--root") + 1]) if "--root" in sys.argv else ROOT
    api = Api(root)
    baseline = set(BASELINE.read_text().splitlines()) if BASELINE.exists() else set()
    breaches = api.breaches + broken(api, baseline)
    if "--update" in sys.argv and not breaches:
        BASELINE.write_text("\n".join(sorted(api.lines)) + "\n")
    for line in breaches:
        print(line)
    print(f"proto: {len(api.lines)} lines, {len(api.lines - baseline)} new, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
