"""How long faults take to be noticed and to be got over: one run of a small job per kind, in one report.

    python3 tests/integration/fault_times.py [--repeat N] [--quick] [--only KIND ...] [--json]

IJEPA_BIN names the folder of the programs. DETECTED is from the fault until the coordinator decided on it, RESTARTED until
every rank of the next attempt has finished a step; each with its bound. --quick shortens the deadlines of hangs and silence,
which are those of the service otherwise.
"""
import argparse
import json
import os
import signal
import sys
import time

import namespaces
from chaos import percentile, seconds
from cluster import Cluster, events, step_of, wait_until
from faults_test import fault
from jobs import render_scenes, write_tiny_job
from partition_test import CutJob

SETTINGS = ["restart_delay_seconds=0", "max_no_progress=100"]
ALWAYS = ["--allow-fault-injection", "--quarantine-after-faults", "0"]
QUICK = ["--step-deadline-seconds", "8", "--heartbeat-interval-seconds", "1", "--unreachable-after-seconds", "3",
         "--lost-after-seconds", "6"]
# Seconds: what the service promises with its own deadlines (docs/FAULTS.md).
DEATH, HANG, SLOW, UNREACHABLE, LOST, RESTART = 1, 60, 60, 20, 60, 5
STEPS = 100  # Before the fault, so that the limits are learnt and a checkpoint is there.


class Figures:
    """Of one fault: {what: (seconds, bound)}; a bound of None is none."""

    def __init__(self):
        self.rows = {}

    def add(self, what, value, bound=None):
        self.rows[what] = (value, bound)


def submit(cluster, faults=()):
    train = render_scenes(cluster.folder / "train", 16 * 16)
    spec = write_tiny_job(cluster.folder, epochs=1000, every=20)
    settings = SETTINGS + ([f"faults.inject=[{', '.join(faults)}]"] if faults else [])
    return cluster.submit(spec, "--data", train, *[word for setting in settings for word in ("--set", setting)])


def training(cluster, faults=()):
    """A job past STEPS."""
    job = submit(cluster, faults)
    cluster.wait_for(job, lambda found: step_of(found) >= STEPS, 120, f"step {STEPS}")
    return job


def restarted(cluster, job, struck, bound, figures):
    """Waits for the second attempt; adds how long it took from the wall time `struck`."""
    found = cluster.wait_for(job, lambda found: len(found["status"]["attempts"]) > 1 and
                             "runningTime" in found["status"]["attempts"][1], 180, "the next attempt trains")
    first, second = found["status"]["attempts"][:2]
    figures.add("detected", seconds(first["failure"]["detectedTime"]) - struck, bound)
    figures.add("restarted", seconds(second["runningTime"]) - struck)
    figures.add("of it after detection", seconds(second["runningTime"]) - seconds(first["failure"]["detectedTime"]), RESTART)
    return found


def by_signal(number, bound):
    def run(cluster, figures):
        job = training(cluster)
        pid, struck = cluster.rank_pids()[1], time.time()
        os.kill(pid, number)
        restarted(cluster, job, struck, bound, figures)
    return run


def deadlock(cluster, figures):
    """The rank stands still in the step after the last that it reported."""
    job = training(cluster, [fault("deadlock", 2 * STEPS, 1, rank=1)])
    still = cluster.wait_for(job, lambda found: step_of(found) >= 2 * STEPS - 1, 120, "the step before the fault")
    restarted(cluster, job, seconds(still["status"]["progress"]["time"]), HANG, figures)


def slow(cluster, figures):
    """From the step that was slow first until the rank is named. It costs no attempt."""
    job = submit(cluster, [fault("slow", STEPS, 1, rank=1, steps=1000000, factor=3)])
    begun = cluster.wait_for(job, lambda found: step_of(found) >= STEPS - 1, 120, "the step before the fault")
    named = cluster.wait_for(job, lambda found: "SLOW_RANK" in events(found), 120, "the slow rank is named")
    event = next(event for event in named["status"]["events"] if event["code"] == "SLOW_RANK")
    assert event["message"].startswith("rank 1 "), event["message"]
    figures.add("detected", seconds(event["time"]) - seconds(begun["status"]["progress"]["time"]), SLOW)


def killed_daemon(which):
    def run(cluster, figures):
        job = training(cluster)
        ranks, struck = sorted(cluster.rank_pids()), time.time()
        getattr(cluster, which).kill()
        code = {"worker": "WORKER_RECONNECTED", "coordinator": "COORDINATOR_RESTARTED"}[which]
        found = cluster.wait_for(job, lambda found: code in events(found), 60, code)
        back = next(event for event in reversed(found["status"]["events"]) if event["code"] == code)
        figures.add("back", seconds(back["time"]) - struck)
        cluster.wait_for(job, lambda later: step_of(later) > step_of(found), 60, "it trains on")
        assert sorted(cluster.rank_pids()) == ranks, "ranks outlive it"
        figures.add("attempts lost", float(len(cluster.job(job)["status"]["attempts"]) - 1), 0)
    return run


def event_time(found, code):
    return seconds(next(event for event in found["status"]["events"] if event["code"] == code)["time"])


def partition(flags):
    with namespaces.CutNetwork(far=["worker-a"]) as network, \
            Cluster(slots=2, coordinator_flags=[*flags, "--insecure"], network=network) as cluster:
        figures = Figures()
        job = CutJob(cluster, epochs=4000)
        cluster.start_worker()
        cluster.wait_for_nodes()
        struck = time.time()
        network.cut()
        figures.add("unreachable", event_time(job.wait_for_event("NODE_UNREACHABLE"), "NODE_UNREACHABLE") - struck, UNREACHABLE)
        figures.add("detected", event_time(job.wait_for_event("NODE_LOST", 120), "NODE_LOST") - struck, LOST)
        again = job.wait_for_second_attempt("JOB_STATE_RUNNING")
        figures.add("restarted", seconds(again["status"]["attempts"][1]["runningTime"]) - struck)
        healed = time.time()
        network.heal()
        wait_until(lambda: not job.stale_ranks(), 120, "the stale generation is stopped")
        figures.add("stale ranks gone after healing", time.time() - healed)
        generations = [generation for generation, _ in job.committed()]
        assert generations == sorted(generations), generations
        cluster.ctl("cancel", job.name)
        cluster.wait_for_end(job.name, 60)
    return figures


def on_a_cluster(run):
    def measure(flags):
        with Cluster(slots=2, coordinator_flags=flags) as cluster:
            figures = Figures()
            run(cluster, figures)
            for job in json.loads(cluster.ctl("list", "-o", "json").out)["jobs"]:
                cluster.ctl("cancel", job["name"])
                cluster.wait_for_end(job["name"], 60)
        return figures
    return measure


KINDS = {
    "rank killed": on_a_cluster(by_signal(signal.SIGKILL, DEATH)),
    "rank segfaults": on_a_cluster(by_signal(signal.SIGSEGV, DEATH)),
    "rank stopped (SIGSTOP)": on_a_cluster(by_signal(signal.SIGSTOP, HANG)),
    "deadlock in a collective": on_a_cluster(deadlock),
    "slow rank": on_a_cluster(slow),
    "worker killed": on_a_cluster(killed_daemon("worker")),
    "coordinator killed": on_a_cluster(killed_daemon("coordinator")),
    "node cut off": partition,
}


def summarise(runs):
    """[{what, runs, p50, p99, bound, within}] over the Figures of one kind."""
    rows = []
    for what in runs[0].rows:
        values, bound = [figures.rows[what][0] for figures in runs], runs[0].rows[what][1]
        middle, last = percentile(values, 0.5), percentile(values, 0.99)
        within = None if bound is None else (middle if what == "of it after detection" else last) <= bound
        rows.append({"what": what, "runs": len(values), "p50": middle, "p99": last, "bound": bound, "within": within})
    return rows


def table(report):
    lines = [f"{'FAULT':26}{'FIGURE':32}{'RUNS':>5}{'p50':>10}{'p99':>10}{'BOUND':>8}  WITHIN"]
    for kind, rows in report.items():
        if isinstance(rows, str):
            lines.append(f"{kind:26}{rows}")
            continue
        for row in rows:
            bound = "-" if row["bound"] is None else f"{row['bound']:g}"
            within = {None: "-", True: "yes", False: "NO"}[row["within"]]
            lines.append(f"{kind:26}{row['what']:32}{row['runs']:>5}{row['p50']:>10.2f}{row['p99']:>10.2f}{bound:>8}  {within}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    flags = ALWAYS + (QUICK if arguments.quick else [])
    report = {}
    for kind in arguments.only:
        reason = namespaces.why_not() if KINDS[kind] is partition else None
        if reason:
            report[kind] = f"skipped: {reason}"
            continue
        print(f"{kind} ...", file=sys.stderr, flush=True)
        report[kind] = summarise([KINDS[kind](flags) for _ in range(arguments.repeat)])
    print(json.dumps(report, indent=2) if arguments.json else table(report))


if __name__ == "__main__":
    main()
