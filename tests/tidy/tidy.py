#!/usr/bin/env python3
"""The tree's own rules, checked: sizes, includes, names, formatting. Prints every breach; exit 1 if there is one.

The dependency rule (docs/ARCHITECTURE.md) is the table MAY_INCLUDE; sizes are budgets that only a decision note changes.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = {".cc": 600, ".cu": 600, ".h": 250, ".py": 600, ".sh": 600}
MAX_FUNCTION_LINES = 70
MAX_PARAMETERS = 5
MAX_BLOB_BYTES = 200 * 1024
BANNED_STEMS = {"utils", "util", "helpers", "helper", "misc", "manager", "common"}

# Folder prefix -> the folders that it may include from, besides itself. First match wins.
TORCH_FREE = ["worker/jepa/plan", "worker/jepa/data", "worker/jepa/checkpoint", "worker/jepa/eval",
              "worker/jepa/exchange",
              "worker/jepa/config.h", "worker/jepa/run_host.h"]
COMMON = ["common"]
MAY_INCLUDE = [
    ("common", []),
    ("proto/spec", COMMON + TORCH_FREE + ["ijepa/v1"]),
    ("worker/jepa", ["worker/jepa", "common/status_macros.h", "common/check.h", "common/log.h", "common/file.h",
                     "common/clock.h"]),
    ("coordinator", COMMON + TORCH_FREE + ["proto/spec", "ijepa/v1"]),
    ("client", COMMON + TORCH_FREE + ["proto/spec", "ijepa/v1"]),
    ("worker/link", COMMON + ["ijepa/v1"]),
    ("worker/daemon", COMMON + TORCH_FREE + ["proto/spec", "ijepa/v1", "worker/link"]),
    ("worker/rank", COMMON + TORCH_FREE + ["proto/spec", "ijepa/v1", "worker/link", "worker/jepa/trainer.h"]),
]
TORCH_INCLUDE = re.compile(r'#include [<"](torch|ATen|c10|caffe2)/')
PROTO_INCLUDE = re.compile(r'#include ["<](ijepa/v1/|grpcpp/|google/protobuf/)')
PROMETHEUS_INCLUDE = re.compile(r'#include ["<]prometheus/')
YAML_INCLUDE = re.compile(r'#include ["<]yaml-cpp/')
OWN_INCLUDE = re.compile(r'#include "((?:common|proto|coordinator|client|worker|ijepa|tests)/[^"]+)"')
FUNCTION_START = re.compile(r"^( {0,4})[A-Za-z_:~<>&*,\[\] ].*\)( const)?( noexcept)?( override)?( final)?"
                            r"( -> [\w:<>]+)? \{$|^( {0,4})\w.*\) : .*\{$")
NOT_FUNCTIONS = re.compile(r"^\s*(if|for|while|switch|else|do|namespace|class|struct|enum|union|TEST|TEST_F|TEST_P)\b")

breaches = []


def breach(path, line, text):
    where = f"{path}:{line}" if line else str(path)
    breaches.append(f"{where}: {text}")


def tracked_files():
    out = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return [Path(name) for name in out.splitlines() if (ROOT / name).is_file()]


def check_sizes(path, lines):
    limit = MAX_LINES.get(path.suffix)
    if limit and len(lines) > limit:
        breach(path, 0, f"{len(lines)} lines; at most {limit}: separate its rooms")
    if path.stem in BANNED_STEMS and path.suffix in (".cc", ".h", ".py", ".sh"):
        breach(path, 0, f"a file named {path.stem} says nothing of what is in it")


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if start is None:
            if FUNCTION_START.match(line) and not NOT_FUNCTIONS.match(line):
                start = (number, len(line) - len(line.lstrip()))
        elif line == " " * start[1] + "}" or line.startswith(" " * start[1] + "};"):
            if number - start[0] + 1 > MAX_FUNCTION_LINES:
                breach(path, start[0], f"function of {number - start[0] + 1} lines; at most {MAX_FUNCTION_LINES}")
            start = None


def check_parameters(path, text):
    """Declarations and definitions with more than MAX_PARAMETERS; calls look different: they end in ';' within a body."""
    pattern = re.compile(r"^(?:[\w:<>,&*\[\] ]+[ &*])([A-Za-z_]\w*)\(([^(){};]*(?:\([^()]*\)[^(){};]*)*)\)"
                         r"(?: const)?(?: override)?(?: noexcept)?(?: \{|;| =)", re.M)
    for match in pattern.finditer(text):
        head = match.group(0).split("(")[0]
        if re.match(r"\s*(return|throw|else|co_return|delete|new)\b", head) or "=" in head:
            continue
        depth, count, parameters = 0, 1, match.group(2)
        if not parameters.strip():
            continue
        for character in parameters:
            depth += (character in "<([{") - (character in ">)]}")
            count += character == "," and depth == 0
        typed = len(re.findall(r"[\w>&*] [&*]*\w+(?:,|$| =)", parameters.replace("\n", " ")))
        if count > MAX_PARAMETERS and typed >= count - 1:
            breach(path, text[: match.start()].count("\n") + 1,
                   f"{match.group(1)} has {count} parameters; at most {MAX_PARAMETERS}")


def allowed(path, target):
    for prefix, targets in MAY_INCLUDE:
        if str(path).startswith(prefix + "/"):
            return target.startswith(prefix + "/") or any(
                target == t or target.startswith(t + "/") for t in targets)
    return True


def check_includes(path, lines):
    text = "\n".join(lines)
    product = not str(path).startswith("tests/")
    torch, proto = TORCH_INCLUDE.search(text), PROTO_INCLUDE.search(text)
    if torch and proto:
        breach(path, 0, "LibTorch and generated protobuf headers in one file")
    if torch and product and not str(path).startswith("worker/jepa/"):
        breach(path, 0, "LibTorch outside worker/jepa")
    if (proto or PROMETHEUS_INCLUDE.search(text)) and str(path).startswith("worker/jepa/"):
        breach(path, 0, "protobuf, gRPC or prometheus inside worker/jepa")
    if YAML_INCLUDE.search(text) and product and not str(path).startswith("proto/spec/"):
        breach(path, 0, "yaml-cpp outside proto/spec")
    for number, line in enumerate(lines, 1):
        match = OWN_INCLUDE.match(line)
        if match and not allowed(path, match.group(1)):
            breach(path, number, f"must not include {match.group(1)} (dependency rule)")


def check_header(path, lines):
    if not lines or not lines[0].startswith("//"):
        breach(path, 1, "a header opens with what it is")
    guard = "IJEPA_" + re.sub(r"[^A-Z0-9]", "_", str(path).upper()) + "_"
    if not any(line == f"#ifndef {guard}" for line in lines):
        breach(path, 0, f"include guard is not {guard}")


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line) and path.name != "tidy.py":
            breach(path, number, "unfinished by its own words")
        if line != line.rstrip():
            breach(path, number, "trailing space")


def check_format(paths):
    sources = [str(p) for p in paths if p.suffix in (".cc", ".h", ".cu")]
    result = subprocess.run(["clang-format-14", "--dry-run", *sources], cwd=ROOT, capture_output=True, text=True)
    for line in result.stderr.splitlines():
        match = re.match(r"(\S+?):(\d+):\d+: warning", line)
        if match:
            breach(match.group(1), match.group(2), "not clang-formatted")


def check_readme(paths):
    """Every program and script that the README names in a command is there."""
    known = {p.name for p in paths}
    text = (ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else ""
    for name in re.findall(r"(?:deploy|tests|configs)/[\w./-]+\.(?:sh|yaml|py)", text):
        if not (ROOT / name).exists():
            breach("README.md", 0, f"names {name}, which is not there")
    return known


def main():
    paths = tracked_files()
    for path in paths:
        full = ROOT / path
        if full.stat().st_size > MAX_BLOB_BYTES:
            breach(path, 0, f"{full.stat().st_size} bytes; at most {MAX_BLOB_BYTES}")
            continue
        if path.suffix not in (".cc", ".h", ".cu", ".proto", ".py", ".sh", ".cmake", ".md", ".yaml"):
            continue
        lines = full.read_text().splitlines()
        if path.suffix != ".md":
            check_text(path, lines)
        check_sizes(path, lines)
        if path.suffix in (".cc", ".h", ".cu"):
            check_includes(path, lines)
            check_functions(path, lines)
            check_parameters(path, "\n".join(lines))
        if path.suffix == ".h":
            check_header(path, lines)
    check_format(paths)
    check_readme(paths)
    for line in breaches:
        print(line)
    print(f"tidy: {len(paths)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
