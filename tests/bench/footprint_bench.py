#!/usr/bin/env python3
"""Start-up time of `ijepactl --help` and resident memory of idle daemons.

usage: footprint_bench [--json] [--runs N]    Prints medians; with --json one object per line.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(__file__).resolve().parent
sys.path.insert(0, os.environ.get("IJEPA_INTEGRATION", "tests/integration"))


def help_milliseconds(runs):
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run([str(BIN / "ijepactl"), "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - began) * 1000)
    return times[1:]  # The first one reads the program from disk.


def resident_megabytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))


def idle_daemons():
    os.environ["IJEPA_BIN"] = str(BIN)
    from cluster import Cluster  # pylint: disable=import-outside-toplevel
    with Cluster(slots=2) as cluster:
        return {"coordinator": resident_megabytes(cluster.coordinator.process.pid),
                "worker": resident_megabytes(cluster.worker.process.pid)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=21)
    options = parser.parse_args()
    times = help_milliseconds(options.runs)
    rows = [{"bench": "help", "median_ms": round(statistics.median(times), 1), "max_ms": round(max(times), 1),
             "runs": len(times)}]
    rows += [{"bench": "idle_rss", "program": name, "megabytes": round(value, 1)}
             for name, value in idle_daemons().items()]
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{key}={value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
