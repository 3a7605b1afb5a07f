#!/usr/bin/env python3
"""What a queue of SLURM costs over SLURM itself, on virtual nodes of this machine: from submit to the start of the ranks against sbatch
alone, and looks at SLURM while many jobs wait. Prints one line per figure.

usage: tests/bench/slurm_bench.py [--jobs 200] [--trials 5]   (programs: build/release/bin, or IJEPA_BIN)
"""
import argparse
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from cluster import wait_until  # noqa: E402
from jobs import TINY, render_scenes  # noqa: E402
from slurm import Slurm  # noqa: E402
from slurm_backend_test import SlurmCluster  # noqa: E402


def seconds(stamp):
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def counting_programs(folder):
    """A folder with SLURM's programs, each of which writes a line before it does its work."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        path = folder / name
        path.write_text(f"#!/bin/sh\necho {name} >> {folder}/calls\nexec {shutil.which(name)} \"$@\"\n")
        path.chmod(0o755)
    return folder


def calls(folder, name):
    path = folder / "calls"
    return path.read_text().split().count(name) if path.exists() else 0


def direct(slurm, folder, trial):
    """Seconds from sbatch until a step runs on both nodes."""
    mark = folder / f"direct-{trial}"
    begin = time.time()
    slurm.call("sbatch", "--nodes=2", "--ntasks-per-node=2", "--output=/dev/null", "--wrap",
               f"srun --nodes=2 --ntasks=2 --ntasks-per-node=1 sh -c 'date +%s.%N > {mark}.$SLURM_NODEID'")
    marks = [Path(f"{mark}.{i}") for i in (0, 1)]
    wait_until(lambda: all(path.exists() and path.read_text().strip() for path in marks), 60, "the step runs")
    wait_until(lambda: slurm.idle_nodes() == 2, 60, "nodes are idle")
    return max(float(path.read_text()) for path in marks) - begin


def through_us(cluster, slurm, spec, data):
    """Seconds from `ijepactl submit` until the coordinator starts the gang on both nodes."""
    begin = time.time()
    job = cluster.submit(spec, "--data", data)
    found = cluster.wait_for(job, lambda j: j["status"].get("attempts"), 60, "the gang starts")
    cluster.ctl("cancel", job)
    cluster.wait_for_end(job, 60)
    wait_until(lambda: slurm.idle_nodes() == 2, 60, "nodes are idle")
    return seconds(found["status"]["attempts"][0]["startTime"]) - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ijepa-slurm-bench-"))
    data = render_scenes(folder / "train", 128)
    spec = folder / "bench.yaml"
    spec.write_text(TINY.format(name="bench", ranks=4, epochs=4000, every=1000) + "queue: cluster\nslurm: {nodes: 2}\n")
    with Slurm(nodes=2, cpus=4) as slurm:
        programs = counting_programs(folder / "bin")
        with SlurmCluster(slurm, more=f"bin: {programs}") as cluster:
            alone = [direct(slurm, folder, trial) for trial in range(options.trials)]
            ours = [through_us(cluster, slurm, spec, data) for _ in range(options.trials)]
            print(f"submit to running: SLURM alone median {statistics.median(alone):.2f} s of {[round(x, 2) for x in alone]}")
            print(f"submit to running: a queue of it median {statistics.median(ours):.2f} s of {[round(x, 2) for x in ours]}")
            print(f"our share: {statistics.median(ours) - statistics.median(alone):.2f} s")
            begin = time.time()
            for _ in range(options.jobs):
                cluster.submit(spec, "--data", data)
            wait_until(lambda: calls(programs, "sbatch") >= options.jobs + options.trials, 300, "all are asked for")
            print(f"{options.jobs} jobs asked for {time.time() - begin:.1f} s after the first submit")
            before, start = calls(programs, "squeue"), time.time()
            wait_until(lambda: calls(programs, "squeue") >= before + 3, 60, "three looks")
            rate = (calls(programs, "squeue") - before) / (time.time() - start)
            begin = time.time()
            listed = slurm.call("squeue", "--noheader", "--me", "--states=all", "-O", "JobID:|,Name:|,State:|,Reason:|").count("ijepa-")
            print(f"looks at {listed} jobs: {rate:.2f} squeue/s in all, {1000 * (time.time() - begin):.0f} ms each")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
