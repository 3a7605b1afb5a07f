#!/usr/bin/env python3
"""Golden tests under other file names: copies the golden sets with every file renamed, runs the programs on the copy.

usage: renamed_goldens_test.py KIND[,KIND...] COMMAND...
Fails if the command fails, or skips a test. Exit code 77 and a line: skipped, because a golden set is not there.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

GOLDENS = Path(os.environ.get("IJEPA_GOLDENS") or "../shared/goldens").resolve()


def renamed(name):
    stem, dot, suffixes = name.partition(".")
    return f"set-{sum(map(ord, stem)):x}-{len(stem)}{dot}{suffixes}"


def rename_set(source, target):
    """Links the files of a set under other names; sidecars that name files say the new names."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir():
            (target / renamed(path.name)).symlink_to(path)
        elif path.suffix != ".json":
            (target / renamed(path.name)).symlink_to(path)
        else:
            sidecar = json.loads(path.read_text())
            if "files" in sidecar:
                sidecar["files"] = {renamed(name): "a file" for name in sidecar["files"]}
            sidecar["how"] = "as the fields say"
            (target / renamed(path.name)).write_text(json.dumps(sidecar))
    assert len(list(source.iterdir())) == len(list(target.iterdir())), f"two files of {source} got one name"


def main():
    kinds, command = sys.argv[1].split(","), sys.argv[2:]
    for kind in kinds:
        if not (GOLDENS / kind).is_dir():
            print(f"skipped: no golden set {GOLDENS / kind}; IJEPA_GOLDENS names another folder")
            return 77
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            rename_set(GOLDENS / kind, Path(folder) / kind)
        result = subprocess.run(command, env={**os.environ, "IJEPA_GOLDENS": folder}, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=280)
    print(result.stdout)
    if "SKIPPED" in result.stdout or "skipped" in result.stdout:
        print("a test was skipped: it does not find its files by their sidecars")
        return 1
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
