"""A real control plane of Kubernetes on free ports in a temporary folder: etcd, API server, controllers, scheduler; kwok plays
the kubelets of nodes that do not exist. Its programs come from deploy/install-kubernetes.sh, etcd from Debian.

Pods that a node has run until the test says otherwise.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster import ASK_SECONDS, ROOT  # noqa: E402
from cluster import wait_until as wait_for_condition  # noqa: E402
from slurm import free_ports  # noqa: E402


def wait_until(condition, timeout, what):
    """Of a condition that asks a program."""
    return wait_for_condition(condition, timeout, what, poll=ASK_SECONDS)


def programs():
    """The folder of the programs, or None with the reason."""
    where = subprocess.run([ROOT / "deploy/install-kubernetes.sh", "--where"], capture_output=True, text=True, check=False)
    if where.returncode != 0:
        return None, where.stderr.strip()
    if shutil.which("etcd") is None:
        return None, "etcd is not installed; deploy/install-deps.sh --servers"
    return Path(where.stdout.strip()), ""


FOLDER, MISSING = programs()
NODE = """
apiVersion: v1
kind: Node
metadata:
  name: {name}
  labels: {{kubernetes.io/hostname: {name}, type: kwok, pool: {pool}}}
status:
  allocatable: {{cpu: "64", memory: 512Gi, pods: "1100", nvidia.com/gpu: "{gpus}"}}
  capacity: {{cpu: "64", memory: 512Gi, pods: "1100", nvidia.com/gpu: "{gpus}"}}
"""
# Of kwok's: what a node does with a pod is run it; it never ends by itself (stages.yaml).
STAGES = ("pod-ready.yaml", "node-initialize.yaml", "node-heartbeat-with-lease.yaml")


class ControlPlane:
    """Use as a context manager. `kubectl` speaks as an administrator. `node_grace`: seconds after which a silent node is lost."""

    def __init__(self, node_grace=600):
        # kwok renews leases late, by its own conflicts: no node is lost for it.
        self.node_grace = node_grace

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-kubernetes-"))
        self.processes = {}
        self.etcd_port, self.peer_port, self.port, self.controller_port, self.scheduler_port = free_ports(5)
        self.server = f"https://127.0.0.1:{self.port}"
        try:
            self.make_keys()
            self.admin = self.kubeconfig("admin")
            self.start_etcd()
            self.start_server()
            self.start_controllers()
            wait_until(lambda: self.kubectl("get", "serviceaccount", "default", check=False), 60, "a default service account")
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for name in reversed(list(self.processes)):  # the API server before etcd, or it never ends
            self.stop(name)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept for inspection: {self.folder}")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60)

    def make_keys(self):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key",
                     "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "2")
        self.openssl("genrsa", "-out", "sa.key", "2048")
        names = "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
        for name, subject in (("admin", "/O=system:masters/CN=admin"), ("server", "/CN=kube-apiserver")):
            (self.folder / "names").write_text(names)
            self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key",
                         "-out", f"{name}.csr", "-subj", subject)
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                         "-out", f"{name}.crt", "-days", "2", "-extfile", "names")

    def kubeconfig(self, name, token=None, token_file=None, authority="ca.crt", namespace="default"):
        """Path of a kubeconfig of an administrator, or with a token. `namespace`: of what names none."""
        user = {"client-certificate": "admin.crt", "client-key": "admin.key"}
        if token or token_file:
            user = {"token": token} if token else {"tokenFile": str(token_file)}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": authority}}],
            "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}]}))
        return path

    def start(self, name, *arguments):
        program = FOLDER / "bin" / name if (FOLDER / "bin" / name).exists() else name
        # A test that is killed leaves nothing behind.
        command = ["setpriv", "--pdeathsig", "KILL", str(program), *map(str, arguments)]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                                    start_new_session=True)

    def stop(self, name, with_signal=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(with_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def start_etcd(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, self.peer_port))
        self.start("etcd", "--name=k", "--data-dir=etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                   f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=k={peer}",
                   "--unsafe-no-fsync", "--logger=zap")

    def start_server(self):
        self.start("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", f"--secure-port={self.port}", "--tls-cert-file=server.crt",
                   "--tls-private-key-file=server.key", "--client-ca-file=ca.crt", "--service-account-key-file=sa.key",
                   "--service-account-signing-key-file=sa.key", f"--service-account-issuer={self.server}",
                   "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
                   "--endpoint-reconciler-type=none", "--default-not-ready-toleration-seconds=2",
                   "--default-unreachable-toleration-seconds=2")
        wait_until(self.ready, 120, "the API server is ready")

    def ready(self):
        process = self.processes["kube-apiserver"]
        assert process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        return self.kubectl("get", "--raw", "/readyz", check=False) == "ok"

    def start_controllers(self):
        self.start("kube-controller-manager", f"--kubeconfig={self.admin}", "--bind-address=127.0.0.1",
                   f"--secure-port={self.controller_port}", "--leader-elect=false", "--service-account-private-key-file=sa.key",
                   "--root-ca-file=ca.crt", "--use-service-account-credentials=true", f"--node-monitor-grace-period={self.node_grace}s",
                   "--node-monitor-period=1s", "--kube-api-qps=500", "--kube-api-burst=1000")
        self.start("kube-scheduler", f"--kubeconfig={self.admin}", "--bind-address=127.0.0.1",
                   f"--secure-port={self.scheduler_port}", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000")

    def start_kubelets(self):
        configs = [f"--config={FOLDER / 'stages' / stage}" for stage in STAGES]
        configs.append(f"--config={Path(__file__).with_name('stages.yaml')}")
        self.start("kwok", f"--kubeconfig={self.admin}", "--manage-all-nodes=true",
                   "--server-address=", *configs)

    def add_nodes(self, *names, gpus=8, pool="main"):
        self.kubectl("apply", "-f", "-", text="---".join(NODE.format(name=name, gpus=gpus, pool=pool) for name in names))
        wait_until(lambda: all(self.condition(node, "Ready") == "True" for node in self.get("nodes") if node["metadata"]["name"]
                               in names), 60, f"{names} are ready")

    def kubectl(self, *arguments, text=None, check=True):
        """What kubectl prints. Without `check`: empty when it fails."""
        done = self.run(*arguments, text=text)
        assert done.returncode == 0 or not check, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout.strip() if done.returncode == 0 else ""

    def run(self, *arguments, text=None, config=None):
        return subprocess.run([FOLDER / "bin/kubectl", f"--kubeconfig={config or self.admin}", *map(str, arguments)], input=text,
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "HOME": str(self.folder)})

    def get(self, kind, namespace="default", *options):
        return json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *options))["items"]

    @staticmethod
    def condition(thing, kind):
        """The status of a condition: True, False, Unknown; empty without one."""
        return next((c["status"] for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind), "")

    def token(self, account, namespace, seconds=3600):
        return self.kubectl("create", "token", account, "-n", namespace, f"--duration={seconds}s")

    def set_pod_status(self, name, namespace, status):
        """As its kubelet would."""
        self.kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p",
                     json.dumps({"status": status}))


def documents(text):
    """The documents of a rendered chart."""
    return [part for part in re.split(r"(?m)^---\s*$", text) if re.search(r"(?m)^kind:", part)]
