"""Kills what runs a job, again and again, and measures what that costs.

The schedule is drawn before it begins from a seed that is printed: exponential gaps, and for each fault what it hits.
"""
import calendar
import math
import os
import random
import signal
import threading
import time
from pathlib import Path

from cluster import ASK_SECONDS, wait_until

# More than fit into a storm.
MOST_JOBS = 12
# How often each is drawn. Ranks die more often than daemons, as in published failure counts.
WEIGHTS = {"rank kill": 4, "rank segfault": 3, "worker kill": 2, "coordinator kill": 2}


def percentile(values, share):
    """Nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(timestamp):
    """Unix time of a timestamp of the API's JSON."""
    whole, _, rest = timestamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{rest or 0}")


def part_bytes(checkpoint):
    """The parts of a checkpoint's folder, by name: every tensor of the state."""
    return {path.name: path.read_bytes() for path in sorted(Path(checkpoint).glob("part-*.bin"))}


class Storm(threading.Thread):
    """Strikes `cluster` for `length` seconds. `faults` then holds (kind, wall time) of all that struck."""

    def __init__(self, cluster, seed, mean_gap_seconds, length):
        super().__init__(daemon=True)
        self.cluster, self.random, self.mean_gap, self.length = cluster, random.Random(seed), mean_gap_seconds, length
        self.over = threading.Event()
        self.faults = []

    def run(self):
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        end = time.monotonic() + self.length
        while True:
            gap, kind, pick = self.random.expovariate(1 / self.mean_gap), self.random.choices(kinds, weights)[0], self.random.random()
            if self.over.wait(min(gap, max(0, end - time.monotonic()))) or time.monotonic() >= end:
                return
            self.strike(kind, pick)

    def strike(self, kind, pick):
        if kind.startswith("rank"):
            ranks = sorted(self.cluster.rank_pids())
            if not ranks:
                return
            try:
                os.kill(ranks[int(pick * len(ranks))], signal.SIGKILL if kind == "rank kill" else signal.SIGSEGV)
            except ProcessLookupError:
                return
            self.faults.append((kind, time.time()))
            return
        self.faults.append((kind, time.time()))
        daemon = self.cluster.coordinator if kind == "coordinator kill" else self.cluster.workers[int(pick * len(self.cluster.workers))]
        daemon.kill()

    def stop(self):
        self.over.set()
        self.join()


def recoveries(job, faults):
    """{kind: [(detection, restart) seconds]} of the faults that ended an attempt. Several faults may hit one attempt; the
    first is its cause."""
    attempts = job["status"]["attempts"]
    found = {}
    for attempt, following in zip(attempts, attempts[1:]):
        failure = attempt.get("failure")
        hits = [(kind, at) for kind, at in faults if kind.startswith("rank") and at >= seconds(attempt["startTime"])
                and at <= seconds(attempt["endTime"])]
        if not failure or not hits or "runningTime" not in following:
            continue
        kind, at = hits[0]
        found.setdefault(kind, []).append((seconds(failure["detectedTime"]) - at, seconds(following["runningTime"]) - at))
    return found


def effective_by_record(job):
    """Share of the time since the first step that went into steps that counted, by the job's own record: without the steps
    that were done again, and without the time from a failure until all ranks trained again. Other programs that come and go
    on the machine change it less than they change the time of two runs."""
    attempts, lost, down_since = job["status"]["attempts"], 0.0, None
    for attempt, following in zip(attempts, attempts[1:]):
        ended = seconds((attempt.get("failure") or {}).get("time", attempt["endTime"]))
        if "runningTime" in attempt:
            if down_since is not None:
                lost += seconds(attempt["runningTime"]) - down_since
            first, last = int(attempt.get("firstStep", 0)), int(attempt.get("lastStep", 0))
            again = max(0, last - int(following.get("firstStep", 0)))
            lost += again * (ended - seconds(attempt["runningTime"])) / max(1, last - first)
            down_since = ended
        elif down_since is None:
            down_since = ended
    if down_since is not None and "runningTime" in attempts[-1]:
        lost += seconds(attempts[-1]["runningTime"]) - down_since
    return 1 - lost / training_seconds(job)


# Published: 1,024 GPUs fail every 7.9 hours (Kokolis et al., 2024), so 16 of them every 505.
HEADLINE_HOURS = 505


def closed_form(failure_seconds, restart_seconds, interval_seconds, stall_seconds):
    """Effective training time (docs/PERFORMANCE.md): of a failure, half an interval and the restart are lost; of a checkpoint,
    its stall. All in seconds; failure_seconds and interval_seconds are from one to the next."""
    return 1 - (interval_seconds / 2 + restart_seconds) / failure_seconds - stall_seconds / interval_seconds


def closed_form_lines(jobs, calm_seconds, storm_seconds, restart_seconds, every_steps):
    """What the closed form says of these jobs, and of the headline job with their stall and restart."""
    job, failures = jobs[0], sum(len(job["status"]["attempts"]) - 1 for job in jobs)
    checkpoint = job["status"]["latestCheckpoint"]
    stall = max(checkpoint.get("stallSeconds", 0), 1e-3)
    step_seconds = calm_seconds / int(job["status"]["progress"]["step"])
    here = closed_form(storm_seconds / max(1, failures), restart_seconds, every_steps * step_seconds, stall)
    mtbf = 3600 * HEADLINE_HOURS
    # A model of size: a stall of 1 s, and a minute until it trains again.
    headline = {(d, r): closed_form(mtbf, r, math.sqrt(2 * d * mtbf), d) for d, r in ((stall, restart_seconds), (1, 60))}
    return [f"  closed form: {100 * here:.1f} % here (restart {restart_seconds:.1f} s, every {every_steps * step_seconds:.1f} s a "
            f"checkpoint that stalls {stall:.3f} s)",
            *[f"  at one failure per {HEADLINE_HOURS} h, stall {d:.3g} s, restart {r:.3g} s: {100 * share:.2f} %"
              for (d, r), share in headline.items()]]


def report(jobs, faults, calm_seconds, seed, every_steps):
    """The chaos report as text, of jobs that each take `calm_seconds` in peace."""
    attempts = sum(len(job["status"]["attempts"]) for job in jobs)
    lines = [f"chaos report: seed {seed}, {len(faults)} faults, {len(jobs)} jobs, {attempts} attempts",
             f"  {'FAULT':18}{'COUNT':>6}{'DETECTED p50':>14}{'p99':>8}{'RESTARTED p50':>15}{'p99':>8}"]
    measured = {}
    for job in jobs:
        for kind, pairs in recoveries(job, faults).items():
            measured.setdefault(kind, []).extend(pairs)
    both = [pair for pairs in measured.values() for pair in pairs]
    for kind in [*WEIGHTS, "all"]:
        pairs = both if kind == "all" else measured.get(kind, [])
        figures = [percentile([pair[i] for pair in pairs], share) for i in (0, 1) for share in (0.5, 0.99)]
        texts = ["-" if value is None else f"{value:.2f} s" for value in figures]
        count = len(faults) if kind == "all" else sum(1 for name, _ in faults if name == kind)
        lines.append(f"  {kind:18}{count:>6}{texts[0]:>14}{texts[1]:>8}{texts[2]:>15}{texts[3]:>8}")
    taken = [training_seconds(job) for job in jobs]
    recorded = sum(effective_by_record(job) * time for job, time in zip(jobs, taken)) / sum(taken)
    lines.append(f"  effective training time {100 * calm_seconds * len(jobs) / sum(taken):.1f} % (calm {calm_seconds:.1f} s, under faults "
                 f"{', '.join(f'{time:.1f}' for time in taken)} s), {100 * recorded:.1f} % by its own record")
    restart = percentile([pair[1] for pair in both], 0.5)
    if restart is not None:
        lines += closed_form_lines(jobs, calm_seconds, sum(taken), restart, every_steps)
    return "\n".join(lines)


def training_seconds(job):
    """From the first step of the first attempt to the end of the job."""
    attempts = job["status"]["attempts"]
    running = next(attempt["runningTime"] for attempt in attempts if "runningTime" in attempt)
    return seconds(job["status"]["endTime"]) - seconds(running)


def run_to_end(cluster, name, timeout):
    """Waits for the end of a job; returns it and the bytes of its last checkpoint."""
    ended = cluster.wait_for_end(name, timeout)
    checkpoint = ended["status"].get("latestCheckpoint", {}).get("path")
    return ended, part_bytes(checkpoint) if checkpoint else None


def storm_over(cluster, submit, storm, timeout):
    """Jobs one after another under a storm that begins with the first step of the first. Returns run_to_end of each that
    began before the storm was over."""
    # All wait in the queue from the beginning: one that is submitted again for want of an answer would be there twice.
    names = [submit(f"storm-{i}") for i in range(MOST_JOBS)]
    cluster.wait_for(names[0], lambda job: job["status"]["state"] == "JOB_STATE_RUNNING", 120, "training")
    storm.start()
    ended = []
    try:
        for name in names:
            ended.append(run_to_end(cluster, name, timeout))
            if not storm.is_alive():
                break
    finally:
        storm.stop()
    for name in names[len(ended):]:
        wait_until(lambda name=name: cluster.ctl("cancel", name).code == 0, 60, f"{name} cancelled", ASK_SECONDS)
        cluster.wait_for_end(name, timeout)
    return ended
