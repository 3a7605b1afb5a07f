"""The chart on a real API server: everything it renders is taken by strict validation and applied for real, its controllers
make what they should, and the coordinator's rights are exactly enough."""
import json
import subprocess
import unittest

import control_plane
from control_plane import ROOT, ControlPlane, documents, wait_until

CHART = ROOT / "deploy/kubernetes/chart"
VALUES = ROOT / "tests/integration/kubernetes/values.yaml"
# Kinds of operators that are not installed here; their objects are rendered and linted, not applied.
OF_OPERATORS = ("cert-manager.io/", "monitoring.coreos.com/")


def render(*options, namespace="ijepa"):
    done = subprocess.run([control_plane.FOLDER / "bin/helm", "template", "ijepa", CHART, "--kube-version", "1.36.0",
                           "--namespace", namespace, *map(str, options)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [part for part in documents(done.stdout) if not any(f"apiVersion: {group}" in part for group in OF_OPERATORS)]


@unittest.skipIf(control_plane.FOLDER is None, f"no Kubernetes: {control_plane.MISSING}")
class ChartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"real: etcd, API server, controllers, scheduler, kwok of {control_plane.FOLDER}")
        cls.cluster = cls.enterClassContext(ControlPlane())
        for namespace in ("ijepa", "training", "live", "keys"):
            cls.cluster.kubectl("create", "namespace", namespace)
        cls.cluster.start_kubelets()
        cls.cluster.add_nodes("node-a", "node-b")

    def apply(self, parts, *options, namespace="ijepa"):
        # Not by -n, which objects of another namespace contradict.
        return self.cluster.run("apply", "--validate=strict", "-f", "-", *options, text="---\n".join(parts),
                                config=self.cluster.kubeconfig(namespace, namespace=namespace))

    def test_strict_validation_takes_every_object(self):
        for options in ([], ["-f", VALUES], ["-f", VALUES, "--set", "tls.mode=secret"]):
            parts = render(*options)
            self.assertGreater(len(parts), 8)
            done = self.apply(parts, "--dry-run=server")
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_strict_validation_would_see_a_wrong_field(self):
        done = self.apply([part.replace("replicas: 1", "replica: 1") for part in render()], "--dry-run=server")
        self.assertIn('unknown field "spec.replica"', done.stderr)

    def test_the_kustomize_example_is_taken(self):
        done = self.cluster.run("apply", "--validate=strict", "--dry-run=server", "-k",
                                ROOT / "deploy/kubernetes/kustomize/overlays/example")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_controllers_make_a_coordinator_and_a_worker_per_node(self):
        done = self.apply(render("--set", "monitoring.dashboards=true", namespace="live"), namespace="live")
        self.assertEqual(done.returncode, 0, done.stderr)
        # A cluster without storage fills no claim by itself.
        self.cluster.kubectl("apply", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "data"},
            "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/none"}}}))

        def running():
            return sorted(pod["metadata"]["name"].rsplit("-", 1)[0] for pod in self.cluster.get("pods", "live")
                          if pod["status"].get("phase") == "Running")
        wait_until(lambda: running() == ["ijepa-coordinator", "ijepa-worker", "ijepa-worker"], 60, "all pods run")
        self.assertEqual(len(self.cluster.get("configmaps", "live", "-l", "grafana_dashboard=1")), 2)
        for pod in self.cluster.get("pods", "live"):
            self.assertIs(pod["spec"]["securityContext"]["runAsNonRoot"], True)

    def test_with_tls_each_node_has_its_worker_and_may_read_its_key_alone(self):
        nodes = ["node-a", "node-b"]
        for name in ("ijepa-coordinator-tls", *(f"ijepa-worker-{node}" for node in nodes)):
            self.cluster.kubectl("create", "secret", "generic", name, "-n", "keys", "--from-literal=tls.key=x")
        done = self.apply(render("--set", f"worker.gpu.resource=,tls.mode=secret,tls.nodes={{{','.join(nodes)}}}", namespace="keys"), namespace="keys")
        self.assertEqual(done.returncode, 0, done.stderr)

        def workers():
            return sorted((pod["spec"].get("nodeName", ""), pod["metadata"]["name"].rsplit("-", 1)[0]) for pod in
                          self.cluster.get("pods", "keys", "-l", "app.kubernetes.io/component=worker"))
        wait_until(lambda: workers() == [(node, f"ijepa-worker-{node}") for node in nodes], 60, "one worker on each of the nodes")

        def kubelet_reads(node, secret):
            return self.cluster.run("get", "secret", secret, "-n", "keys", f"--as=system:node:{node}", "--as-group=system:nodes")
        for node, other in (nodes, nodes[::-1]):
            wait_until(lambda n=node: kubelet_reads(n, f"ijepa-worker-{n}").returncode == 0, 30, f"{node} reads its key")
            for secret in (f"ijepa-worker-{other}", "ijepa-coordinator-tls"):
                self.assertIn("forbidden", kubelet_reads(node, secret).stderr)

    def test_pods_of_the_chart_keep_to_what_restricted_namespaces_allow(self):
        """The coordinator in full; the worker but for its state on the node (hostPath)."""
        self.cluster.kubectl("create", "namespace", "strict")
        self.cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/warn=restricted")
        done = self.cluster.run("apply", "--dry-run=server", "-n", "strict", "-f", "-",
                                text="---\n".join(part.replace("namespace: ijepa", "namespace: strict") for part in render()))
        self.assertEqual(done.returncode, 0, done.stderr)
        warnings = [line for line in done.stderr.splitlines() if "PodSecurity" in line]
        self.assertEqual(len(warnings), 1, warnings)
        self.assertIn('restricted volume types (volume "state" uses restricted volume type "hostPath")', warnings[0])


if __name__ == "__main__":
    unittest.main()
