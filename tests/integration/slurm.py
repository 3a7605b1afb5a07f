"""A SLURM cluster of virtual nodes on this machine: munged, slurmctld, a slurmd per node and, if wanted, slurmrestd, in a
temporary folder.

Every call of a client has a time limit: without a controller they wait for ever.
"""
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from cluster import ASK_SECONDS, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
PATH = os.environ["PATH"] + ":/usr/sbin"
MISSING = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
# slurmrestd takes tokens where slurmctld has the plugin for them.
REST_MISSING = MISSING + [name for name in ("slurmrestd", "setpriv") if shutil.which(name, path=PATH) is None] + (
    [] if list(Path("/usr/lib").glob("*/slurm*/auth_jwt.so")) else ["auth_jwt.so"])
NOBODY = 65534  # slurmrestd refuses to run as root or SlurmUser
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=1
SlurmdTimeout=10
KillWait=5
MinJobAge=300
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def listens(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


class Slurm:
    """Use as a context manager. Nodes are vn0, vn1, ..., each with `cpus` processors. `rest`: with slurmrestd, at `rest_address`.
    `more`: lines for slurm.conf, of which {folder} is the temporary folder."""

    def __init__(self, nodes=2, cpus=4, rest=False, more=""):
        self.nodes, self.cpus, self.rest, self.more = nodes, cpus, rest, more

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-slurm-"))
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for name in ("munge", "state", *(f"spool-vn{i}" for i in range(self.nodes))):
            (self.folder / name).mkdir()
        self._write_configuration()
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"),
                            "PATH": PATH}
        for name in [name for name in self.environment if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            del self.environment[name]
        self.processes = {}
        try:
            self.start("munged", ["munged", "--foreground", "--force", f"--key-file={key}",
                                  f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge/pid",
                                  f"--log-file={self.folder}/munge/log", f"--seed-file={self.folder}/munge/seed"])
            self.wait_until((self.folder / "munge.socket").exists, 20, "munged serves")
            self.start_controller()
            for i in range(self.nodes):
                self.start_node(f"vn{i}")
            self.wait_until(lambda: self.idle_nodes() == self.nodes, 60, "all nodes are idle")
            if self.rest:
                self.start_rest()
        except BaseException as error:
            self.__exit__(type(error), None, None)
            raise
        return self

    def wait_until(self, condition, timeout, what):
        """As cluster.wait_until; a daemon that has ended fails it at once, with the last words of the daemon."""
        def check():
            value = condition()
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert value or not ended, f"{ended[0]} ended before {what}:\n{self.last_words(ended[0])}"
            return value
        return wait_until(check, timeout, what, ASK_SECONDS)

    def last_words(self, name):
        texts = [path.read_text(errors="replace") for path in (self.folder / f"{name}.out", self.folder / f"{name}.log",
                                                               self.folder / f"slurmd-{name}.log") if path.exists()]
        return "".join(text[-2000:] for text in texts)

    def __exit__(self, kind, value, trace):
        try:
            # Without a controller there is nobody to ask.
            if "slurmctld" in self.processes and self.processes["slurmctld"].poll() is None:
                self.call("scancel", "--user=root", timeout=10)
        except AssertionError as error:
            print(f"jobs are killed without slurmctld: {error}")
        for name in reversed(list(self.processes)):
            self.stop(name)
        # Scripts and steps outlive the daemons that started them.
        wait_until(lambda: subprocess.run(["pkill", "-KILL", "-f", str(self.folder)], check=False).returncode == 1, 10,
                   f"nothing of {self.folder} runs")
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept for inspection: {self.folder}")

    def _write_configuration(self):
        ports = free_ports(self.nodes + 2)
        host = socket.gethostname()
        lines = [(CONF + self.more).format(host=host, port=ports[0], folder=self.folder)]
        if self.rest:
            key = self.folder / "jwt.key"
            key.write_bytes(secrets.token_bytes(32))
            key.chmod(0o600)
            lines += ["AuthAltTypes=auth/jwt", f"AuthAltParameters=jwt_key={key}"]
            self.rest_address = f"http://127.0.0.1:{ports[-1]}"
        lines += [f"NodeName=vn{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i + 1]} CPUs={self.cpus} State=UNKNOWN"
                  for i in range(self.nodes)]
        lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")

    def start(self, name, command):
        with open(self.folder / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    env=self.environment, start_new_session=True)

    def stop(self, name):
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def start_controller(self):
        self.start("slurmctld", ["slurmctld", "-D"])

    def start_node(self, node):
        self.start(node, ["slurmd", "-D", "-N", node])

    def start_rest(self):
        """Returns when it answers, with a token for root in self.token_file."""
        self.token_file = self.folder / "token"
        self.write_token(lifespan=3600)
        host = self.rest_address.removeprefix("http://")
        self.start("slurmrestd", ["env", "SLURM_JWT=daemon", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                                  "slurmrestd", "-a", "rest_auth/jwt", "-s", "openapi/v0.0.38", host])
        name, port = host.split(":")
        self.wait_until(lambda: listens(name, int(port)), 20, "slurmrestd listens")

    def write_token(self, lifespan):
        """A token of so many seconds, as an operator makes it."""
        path = self.folder / "token.new"
        path.write_text(self.call("scontrol", "token", "username=root", f"lifespan={lifespan}"))
        path.rename(self.token_file)

    def call(self, *command, timeout=30):
        """What a client prints; AssertionError when it fails or takes too long."""
        try:
            done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout, env=self.environment, check=False, cwd=self.folder)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{command[0]} took more than {timeout} s") from None
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def idle_nodes(self):
        try:
            return self.call("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
        except AssertionError:
            return 0

    def job(self, number):
        """What the controller knows of the job, by its names: JobState, Restarts, ..."""
        fields = self.call("scontrol", "show", "job", number, "--oneliner").split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def state(self, number):
        return self.job(number)["JobState"]
