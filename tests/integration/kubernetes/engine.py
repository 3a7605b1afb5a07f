"""The coordinator's engine for Kubernetes, as a program that a test speaks to, on a real control plane with two nodes of kwok."""
import json
import os
import subprocess
import unittest
from pathlib import Path

import control_plane
from control_plane import ROOT, ControlPlane, wait_until

PROBE = Path(os.environ.get("IJEPA_BIN", ROOT / "build/release/bin")).parent / "tests/kubernetes_probe"
SPEC = "kubernetes: {ranks_per_pod: 4}"
NAMESPACE = "training"
ACCOUNT = "ijepa-coordinator"


def make_coordinator_account(cluster, *options):
    """The namespaces, and the coordinator's service account with the rights that the chart gives it. `options`: of helm."""
    for namespace in ("ijepa", NAMESPACE):
        cluster.kubectl("create", "namespace", namespace)
    rendered = subprocess.run(
        [control_plane.FOLDER / "bin/helm", "template", "ijepa", ROOT / "deploy/kubernetes/chart", "--kube-version", "1.36.0",
         "--namespace", "ijepa", "--set", f"jobs.enabled=true,jobs.namespace={NAMESPACE}", "--show-only",
         "templates/rights.yaml", *options], capture_output=True, text=True, timeout=60, check=True).stdout
    cluster.kubectl("apply", "-f", "-", text=rendered)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", "ijepa")


class Probe:
    """The engine, one call at a time."""

    def __init__(self, kubeconfig, job_sets=True):
        self.log = open(kubeconfig.with_suffix(".log"), "ab")
        self.process = subprocess.Popen([PROBE, kubeconfig, NAMESPACE, json.dumps(job_sets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)

    def send(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def call(self, do, **arguments):
        self.send(do, **arguments)
        return self.answer()

    def allocate(self, job="demo", generation=1, ranks=8, spec=SPEC):
        return self.call("allocate", job=job, uid=f"uid-{job}", generation=generation, ranks=ranks, spec=spec)

    def seen(self, name):
        """What Reconcile says of it; None when it is not there. AssertionError when it cannot look."""
        answer = self.call("reconcile")
        assert "allocations" in answer, answer
        return answer["allocations"].get(name)

    def memory_kib(self):
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()


@unittest.skipIf(control_plane.FOLDER is None, f"no Kubernetes: {control_plane.MISSING}")
class EngineTest(unittest.TestCase):
    """No worker runs in the pods: what is tested is what the engine makes, sees and says."""
    chart_options = ()

    @classmethod
    def setUpClass(cls):
        print(f"real: etcd, API server, controllers, scheduler, kwok of {control_plane.FOLDER}; no kubelet, no worker")
        cls.cluster = cls.enterClassContext(ControlPlane())
        make_coordinator_account(cls.cluster, *cls.chart_options)
        cls.cluster.start_kubelets()
        cls.cluster.add_nodes("node-a", "node-b")
        cls.config = cls.cluster.kubeconfig("coordinator", token=cls.cluster.token(ACCOUNT, "ijepa"))

    def setUp(self):
        self.probe = Probe(self.config)
        self.addCleanup(self.remove_all)
        self.addCleanup(self.probe.close)

    def remove_all(self):
        self.cluster.kubectl("delete", "jobs,pods,resourcequotas", "-n", NAMESPACE, "--all", "--force", "--wait=false")
        wait_until(lambda: not self.cluster.get("pods,jobs,secrets,services", NAMESPACE), 180, "nothing is left")

    def wait_for(self, name, condition, what, seconds=60):
        def check():
            seen = self.probe.seen(name)
            return seen if seen and condition(seen) else None
        return wait_until(check, seconds, f"{name}: {what}")

    def running(self, job="demo", **options):
        """Allocates and waits until it runs; its pods."""
        answer = self.probe.allocate(job, **options)
        self.assertIn("handle", answer)
        self.wait_for(f"{job}-g1", lambda seen: seen["phase"] == "running", "runs")
        return self.cluster.get("pods", NAMESPACE)
