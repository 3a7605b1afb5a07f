"""A SLURM cluster of virtual nodes on this machine: munged, slurmctld and a slurmd per node, in a temporary folder.

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
MISSING = [name for name in PROGRAMS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None]
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


class Slurm:
    """Use as a context manager. Nodes are vn0, vn1, ..., each with `cpus` processors."""

    def __init__(self, nodes=2, cpus=4):
        self.nodes, self.cpus = nodes, cpus

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
                            "PATH": os.environ["PATH"] + ":/usr/sbin"}
        for name in [name for name in self.environment if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            del self.environment[name]
        self.processes = {}
        try:
            self.start("munged", ["munged", "--foreground", "--force", f"--key-file={key}",
                                  f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge/pid",
                                  f"--log-file={self.folder}/munge/log", f"--seed-file={self.folder}/munge/seed"])
            wait_until((self.folder / "munge.socket").exists, 20, "munged serves")
            self.start_controller()
            for i in range(self.nodes):
                self.start_node(f"vn{i}")
            wait_until(lambda: self.idle_nodes() == self.nodes, 60, "all nodes are idle", ASK_SECONDS)
        except AssertionError:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.call("scancel", "--user=root")
        for name in reversed(list(self.processes)):
            self.stop(name)
        # Scripts and steps outlive the daemons that started them.
        subprocess.run(["pkill", "-KILL", "-f", str(self.folder)], check=False)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept for inspection: {self.folder}")

    def _write_configuration(self):
        ports = free_ports(self.nodes + 1)
        host = socket.gethostname()
        lines = [CONF.format(host=host, port=ports[0], folder=self.folder)]
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
