"""A coordinator whose queue `pods` is of a real control plane, on nodes whose pods run (kubelet.py)."""
import json
import os
import shutil
import unittest

import control_plane
from control_plane import ControlPlane, wait_until
from engine import ACCOUNT, NAMESPACE, make_coordinator_account
from kubelet import GATEWAY, IMAGE, Kubelet, PodNetwork
import namespaces  # control_plane knows the folder of these
from cluster import Cluster, step_of
from jobs import TINY, render_scenes
from slurm import free_ports

LONG = 4000  # epochs of 8 steps
NODE_GRACE_SECONDS = 5
DRAIN_SECONDS = 20
CLAIM = "checkpoints"
WHY_NOT = f"no Kubernetes: {control_plane.MISSING}" if control_plane.FOLDER is None else namespaces.why_not()


class PodCluster(Cluster):
    """Ranks of its queue `pods` are in the pods of `kubelets`; it has no workers of its own."""

    def __init__(self, control, kubelets, kubeconfig=None, settings=()):
        self.control, self.kubelets = control, kubelets
        self.worker_address = f"{GATEWAY}:{free_ports(1)[0]}"
        self.token_file = control.folder / "coordinator.token"
        self.token_file.write_text(control.token(ACCOUNT, "ijepa"))
        kubeconfig = kubeconfig or control.kubeconfig("coordinator", token_file=self.token_file)
        config = control.folder / "coordinator.yaml"
        config.write_text(json.dumps({"queues": {"pods": {"backend": "kubernetes"}}, "backends": {"kubernetes": {
            "coordinator": self.worker_address, "kubeconfig": str(kubeconfig), "namespace": NAMESPACE, "image": IMAGE,
            "checkpoint_claim": CLAIM, "drain_seconds": DRAIN_SECONDS, **dict(settings)}}}))
        super().__init__(coordinator_flags=["--config", str(config), "--insecure", "--lost-after-seconds", "8", "--unreachable-after-seconds",
                                            "4", "--heartbeat-interval-seconds", "1"], workers=0, checkpoints=control.storage)

    def coordinator_command(self, listen, worker_listen, metrics_listen):
        return super().coordinator_command(listen, self.worker_address, metrics_listen)

    def __exit__(self, kind, value, trace):
        super().__exit__(kind, value, trace)
        if kind is not None:
            print("".join(kubelet.logs() for kubelet in self.kubelets))

    def rank_pids(self):
        """Of all ranks in pods, as this machine numbers them."""
        return self.pids_of("ijepa-rank")

    def pids_of(self, program):
        found = []
        for pid in [pid for kubelet in self.kubelets for pid in kubelet.pids()]:
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith(program):
                    found.append(pid)
            except OSError:
                continue
        return found


@unittest.skipIf(WHY_NOT, WHY_NOT)
class ServiceTest(unittest.TestCase):
    """One control plane for all tests of a class, with three nodes; each test has a coordinator of its own."""

    @classmethod
    def setUpClass(cls):
        print(f"real: etcd, API server, controllers, scheduler of {control_plane.FOLDER}, coordinator, workers, ranks; pods are "
              "processes with namespaces of their own; no container runtime")
        cls.network = PodNetwork()  # of this process from now on
        cls.control = cls.enterClassContext(ControlPlane(node_grace=NODE_GRACE_SECONDS))
        make_coordinator_account(cls.control)
        cls.control.storage = cls.control.folder / "storage"
        cls.control.storage.mkdir()
        cls.train = render_scenes(cls.control.storage / "train", 128)
        cls.control.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": cls.volume()}))
        cls.kubelets = [Kubelet(cls.control, f"node-{letter}", cls.network) for letter in "abc"]
        for kubelet in cls.kubelets:
            cls.addClassCleanup(kubelet.close)
        wait_until(lambda: sum(cls.control.condition(node, "Ready") == "True" and not node["spec"].get("taints")
                               for node in cls.control.get("nodes")) == 3, 60, "the nodes are ready")

    @classmethod
    def volume(cls):
        """A volume that every node sees, and the claim on it."""
        room = {"storage": "10Gi"}
        return [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLAIM},
                 "spec": {"capacity": room, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(cls.control.storage)},
                          "storageClassName": "", "claimRef": {"name": CLAIM, "namespace": NAMESPACE}}},
                {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": NAMESPACE},
                 "spec": {"resources": {"requests": room}, "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": CLAIM}}]

    def serve(self, **options):
        """Starts the coordinator; what it leaves is removed at the end of the test."""
        self.cluster = PodCluster(self.control, self.kubelets, **options)
        self.cluster.__enter__()
        self.addCleanup(self.end)

    def end(self):
        self.cluster.__exit__(None if self._outcome.success else AssertionError, None, None)
        for kubelet in self.kubelets:
            kubelet.start()
        self.control.kubectl("delete", "jobs,resourcequotas", "-n", NAMESPACE, "--all", "--wait=false")
        self.control.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--wait=false", "--grace-period=1")
        wait_until(lambda: not self.control.get("pods,jobs", NAMESPACE), 60, "nothing is left in the namespace")
        for folder in self.control.storage.glob("*-*"):
            shutil.rmtree(folder)  # the next coordinator gives its first job the same name

    def submit(self, name="tiny", epochs=LONG, ranks=2, kubernetes=""):
        path = self.cluster.folder / f"{name}.yaml"
        path.write_text(TINY.format(name=name, ranks=ranks, epochs=epochs, every=20) +
                        f"queue: pods\nkubernetes: {{ranks_per_pod: 1, gpu_resource: none{kubernetes}}}\n")
        return self.cluster.submit(path, "--data", self.train)

    def wait_for_step(self, job, step, generation=1):
        return self.cluster.wait_for(job, lambda found: step_of(found) >= step and
                                     int(found["status"].get("generation", 0)) == generation, 90, f"step {step} of attempt {generation}")

    def pods(self, job, generation=1):
        return self.control.get("pods", NAMESPACE, "-l", f"batch.kubernetes.io/job-name={job}-g{generation}")

    def living(self, job, generation=1):
        return [pod for pod in self.pods(job, generation) if pod["status"]["phase"] not in ("Succeeded", "Failed")]

    def attempt(self, job, generation):
        return next(one for one in job["status"]["attempts"] if int(one["generation"]) == generation)

    def kubelet_of(self, pod):
        return next(kubelet for kubelet in self.kubelets if kubelet.name == pod["spec"]["nodeName"])

    def assert_nothing_left(self):
        wait_until(lambda: not self.cluster.pids_of("ijepa-worker") + self.cluster.rank_pids(), 60, "no worker or rank is left")
