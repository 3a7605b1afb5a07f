"""A coordinator and a worker as real processes on free ports in a temporary folder, for tests.

Whatever is killed is started again, as systemd would. Waiting is by deadline on a condition that the processes report,
never by a fixed sleep.
"""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("IJEPA_BIN", ROOT / "build/release/bin"))
TEST_DATA = Path(os.environ.get("IJEPA_TEST_DATA", ROOT / "../shared/data")).resolve()
POLL_SECONDS = 0.05
# Between runs of a program that is asked: each takes a share of the cores that the ranks need.
ASK_SECONDS = 0.25


class Result:
    """What a command printed and how it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


def wait_until(condition, timeout, what, poll=POLL_SECONDS):
    """Returns the first true value of condition(); AssertionError naming `what` when none comes in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(poll)
    raise AssertionError(f"not within {timeout} s: {what}")


def remove_groups(base):
    """Kills what is left in the control groups of a worker's ranks, and removes them."""
    def removed():
        for group in [*base.glob("*/"), base]:
            try:
                if group != base:
                    (group / "cgroup.kill").write_text("1")
                group.rmdir()
            except OSError:
                continue
        return not base.exists()
    wait_until(removed, 10, f"{base} removed")


class Supervised:
    """A program that is started again whenever it ends, until stopped."""

    def __init__(self, name, command, log):
        self.name, self.command, self.log = name, command, open(log, "ab")
        self.stopping = threading.Event()
        self.process = None
        self.starts = 0
        self._start()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.starts += 1

    def _watch(self):
        while True:
            self.process.wait()
            if self.stopping.is_set():
                return
            self._start()

    def kill(self):
        """kill -9; returns when the next one has been started."""
        starts = self.starts
        self.process.send_signal(signal.SIGKILL)
        wait_until(lambda: self.starts > starts, 10, f"{self.name} started again")

    def stop(self):
        self.stopping.set()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.thread.join(10)
        self.log.close()


class Loopback:
    """Where the programs of a cluster run: all of them here."""

    def address(self, name):
        """At which others reach the program `name`."""
        return "127.0.0.1"

    def enter(self, name):
        """Words before the command of `name`, for another place."""
        return []

    def worker_link(self, address):
        """Where workers reach the coordinator, which listens for them at `address`."""
        return address


class Cluster:
    """Use as a context manager. `slots`: ranks a worker takes at a time; `workers`: how many there are, on nodes node-a,
    node-b, ... of this machine; `network`: as Loopback, of the names coordinator, client, worker-a, worker-b, ...;
    `checkpoints`: a folder that outlives it, else one of its own."""

    def __init__(self, slots=2, coordinator_flags=(), workers=1, network=None, checkpoints=None):
        self.slots, self.coordinator_flags, self.worker_count = slots, list(coordinator_flags), workers
        self.network = network or Loopback()
        self.checkpoints = checkpoints

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-cluster-"))
        self.data_dir = self.folder / "coordinator"
        self.checkpoints = self.checkpoints or self.folder / "checkpoints"
        self.state_dirs, self.workers = [], []
        anywhere = f"{self.network.address('coordinator')}:0"
        self.coordinator = Supervised("coordinator", self.coordinator_command(anywhere, anywhere, anywhere),
                                      self.folder / "coordinator.log")
        addresses = self.addresses()
        # From here on the ports are fixed, so that a restarted coordinator is found where it was.
        self.coordinator.command = self.coordinator_command(addresses["client"], addresses["worker"], addresses["metrics"])
        self.address = addresses["client"]
        for _ in range(self.worker_count):
            self.start_worker()
        self.worker = self.workers[0] if self.workers else None
        try:
            self.wait_for_nodes()
        except AssertionError:
            self.__exit__(None, None, None)
            raise
        return self

    def coordinator_command(self, listen, worker_listen, metrics_listen):
        return [*self.network.enter("coordinator"), str(BIN / "ijepa-coordinator"), "--listen", listen, "--worker-listen",
                worker_listen, "--metrics-listen", metrics_listen, "--data-dir", str(self.data_dir), "--checkpoint-root",
                str(self.checkpoints), *self.coordinator_flags]

    def start_worker(self):
        """One more worker, on a node of its own."""
        letter = chr(ord("a") + len(self.workers))
        name, state = f"worker-{letter}", self.folder / f"worker-{letter}"
        self.state_dirs.append(state)
        self.workers.append(Supervised(name, [
            *self.network.enter(name), str(BIN / "ijepa-worker"), "--coordinator",
            self.network.worker_link(self.addresses()["worker"]), "--node", f"node-{letter}", "--slots", str(self.slots),
            "--state-dir", str(state), "--metrics-listen", "127.0.0.1:0"], self.folder / f"{name}.log"))

    def __exit__(self, kind, value, trace):
        groups = self.control_groups()
        for worker in self.workers:
            worker.stop()
        self.coordinator.stop()
        for process in self.rank_pids():
            try:
                os.killpg(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if kind is None:
            subprocess.run(["rm", "-rf", str(self.folder)], check=False)
        else:
            print(f"kept for inspection: {self.folder}")

        for group in groups:
            remove_groups(group)

    def control_groups(self):
        """Folders in which the workers make control groups for their ranks."""
        groups = []
        for state in self.state_dirs:
            try:
                groups.append(json.loads((state / "worker.json").read_text())["cgroup"])
            except (OSError, ValueError, KeyError):
                continue
        return [Path(group) for group in groups if group]

    def addresses(self):
        path = self.data_dir / "addresses.json"
        wait_until(path.exists, 20, "coordinator serving")
        return json.loads(path.read_text())

    def wait_for_nodes(self):
        def ready():
            result = self.ctl("nodes", "-o", "json")
            return result.code == 0 and result.out.count("NODE_STATE_READY") == len(self.workers)
        wait_until(ready, 20, "workers registered", ASK_SECONDS / 2)

    def ctl(self, *arguments, timeout=120, cwd=ROOT):
        """Runs ijepactl against this cluster."""
        done = subprocess.run([*self.network.enter("client"), str(BIN / "ijepactl"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
                              env={**os.environ, "IJEPA_COORDINATOR": self.address, "NO_COLOR": "1"})
        return Result(done.returncode, done.stdout, done.stderr)

    def submit(self, *arguments):
        result = self.ctl("submit", *arguments)
        assert result.code == 0, f"submit: {result.code}\n{result.out}\n{result.err}"
        return result.out.strip()

    def job(self, job):
        """The job as the API gives it, or None while the coordinator is away."""
        result = self.ctl("describe", job, "-o", "json")
        return json.loads(result.out) if result.code == 0 else None

    def wait_for(self, job, condition, timeout, what):
        def check():
            found = self.job(job)
            return found if found and condition(found) else None
        try:
            return wait_until(check, timeout, what, ASK_SECONDS)
        except AssertionError as error:
            described = self.ctl("describe", job).out
            logs = self.ctl("logs", job, "--tail", 20).out
            raise AssertionError(f"{error}\n{described}\n{logs}") from None

    def wait_for_end(self, job, timeout):
        ends = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
        return self.wait_for(job, lambda found: found["status"]["state"] in ends, timeout, "the job ended")

    def rank_pids(self):
        """Process ids of the ranks that live, by their pid files."""
        pids = []
        for path in [path for state in self.state_dirs for path in state.glob("ranks/*/pid")]:
            try:
                pid = int(path.read_text().split()[0])
                if b"ijepa-rank" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    pids.append(pid)
            except (OSError, ValueError, IndexError):
                continue
        return pids


def events(job):
    """Codes of the job's history, oldest first."""
    return [event["code"] for event in job["status"].get("events", [])]


def step_of(job):
    """Last finished step that the job reports."""
    return int(job["status"].get("progress", {}).get("step", 0))


def probe_scores(job, step):
    """{(target, method): score} of the probe at `step`, and its effective rank."""
    for probe in job["status"].get("probes", []):
        if int(probe.get("step", 0)) == step:
            scores = {(s["target"], s["method"]): s for s in probe["scores"]}
            return scores, probe["effectiveRank"]
    raise AssertionError(f"no probe at step {step}")
