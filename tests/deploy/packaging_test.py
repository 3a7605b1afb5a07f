"""Units of systemd, images and the chart, as far as they can be tried without a cluster: by systemd's own checks, on the
programs that were built, and by helm where deploy/install-kubernetes.sh put one. No container engine builds the images."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("IJEPA_BIN", ROOT / "build/release/bin"))
DEPLOY = ROOT / "deploy"
DEPS = ROOT / "build/deps.cmake"
CHART = DEPLOY / "kubernetes/chart"
# What systemd's own scale of exposure says of the units, 0 to 10; a unit without hardening has 9.6.
EXPOSURE = {"ijepa-coordinator": 1.5, "ijepa-worker": 3.5}


def call(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, **options)


def helm():
    """The helm of deploy/install-kubernetes.sh, else the machine's; None without one."""
    where = call(DEPLOY / "install-kubernetes.sh", "--where")
    return str(Path(where.stdout.strip()) / "bin/helm") if where.returncode == 0 else shutil.which("helm")


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Units(unittest.TestCase):
    def verify(self, name, change=lambda text: text):
        """What systemd-analyze says of the unit; its program need not be installed."""
        with tempfile.TemporaryDirectory() as folder:
            text = (DEPLOY / f"systemd/{name}.service").read_text()
            unit = Path(folder) / f"{name}.service"
            unit.write_text(change(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)))
            return call("systemd-analyze", "verify", "--man=no", unit)

    def test_systemd_takes_every_line(self):
        for name in EXPOSURE:
            result = self.verify(name)
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)
            bad = self.verify(name, lambda text: text.replace("NoNewPrivileges", "NoNewPrivilege"))
            self.assertRegex(bad.stderr, "Unknown key.*NoNewPrivilege'")

    def test_exposure_stays_low(self):
        for name, most in EXPOSURE.items():
            result = call("systemd-analyze", "security", "--offline=true", f"--threshold={most * 10:.0f}",
                          DEPLOY / f"systemd/{name}.service")
            self.assertEqual(result.returncode, 0, result.stdout[-300:])

    def test_units_use_flags_that_the_programs_have(self):
        for name in EXPOSURE:
            line = re.search(r"(?m)^ExecStart=/usr/local/bin/(\S+) (.*)", (DEPLOY / f"systemd/{name}.service").read_text())
            said = call(BIN / line[1], "--help").stdout
            for flag in re.findall(r"--[a-z-]+", line[2]):
                self.assertIn(flag, said)


class Images(unittest.TestCase):
    def test_every_final_image_is_pinned_and_not_root(self):
        text = (DEPLOY / "docker/Dockerfile").read_text()
        stages = re.findall(r"(?m)^FROM (\S+) AS (\S+)", text)
        names = {name for _, name in stages}
        for base, _ in stages:
            self.assertTrue(base == "${BASE}" or base in names, base)
        for final in ("coordinator", "worker"):
            body = re.search(rf"(?ms)^FROM runtime AS {final}$(.*?)(?=^FROM |\Z)", text)[1]
            self.assertRegex(body, r"(?m)^USER 10001:10001$")
        pins = re.findall(r"(?m)^image (\S+) (\S+)$", (DEPLOY / "dependencies.txt").read_text())
        self.assertEqual(len(pins), 1)
        self.assertNotEqual(pins[0][1], "latest")

    def test_runtime_names_a_package_for_every_library(self):
        with tempfile.TemporaryDirectory() as out:
            result = call(DEPLOY / "docker/runtime.sh", out, BIN / "ijepa-coordinator", BIN / "ijepactl")
            self.assertEqual(result.returncode, 0, result.stderr)
            packages = dict(line.split("=", 1) for line in Path(out, "packages").read_text().split())
            for needed in ("libc6", "libgrpc++1.51", "libprotobuf32", "libsqlite3-0", "ca-certificates"):
                self.assertIn(needed, packages)
            installed = call("dpkg-query", "-W", "-f", "${Package}=${Version}\n", *packages).stdout.split()
            self.assertEqual(installed, [f"{name}={version}" for name, version in packages.items()])
            self.assertEqual(call(Path(out, "bin/ijepactl"), "--version").returncode, 0)
            self.assertEqual(list(Path(out, "wheels").iterdir()), [])

    @unittest.skipUnless((BIN / "ijepa-rank").exists(), "built without LibTorch")
    @unittest.skipUnless(DEPS.exists(), f"no {DEPS}, which says where the wheels are")
    @unittest.skipUnless(call("unshare", "--mount", "true").returncode == 0, "no mount namespaces here")
    def test_a_rank_starts_with_nothing_of_the_wheels_but_what_was_gathered(self):
        wheels = Path(re.search(r'IJEPA_WHEELS "(.+)"', DEPS.read_text())[1])
        # Beside the wheels, so that they are linked and not copied.
        with tempfile.TemporaryDirectory(dir=wheels.parent) as out:
            result = call(DEPLOY / "docker/runtime.sh", out, BIN / "ijepa-rank", BIN / "ijepa-worker")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("libgloo0=", Path(out, "packages").read_text())
            self.assertTrue(list(Path(out).glob(f"wheels{wheels}/site/torch-*.dist-info/METADATA")), "a scanner sees them")
            started = call("unshare", "--mount", "sh", "-ec", f"mount --bind {out}/wheels{wheels} {wheels}\n"
                           f"test ! -e {wheels}/cuda/bin\n{out}/bin/ijepa-rank --version")
            self.assertEqual((started.returncode, started.stderr), (0, ""))


@unittest.skipUnless(helm(), "no helm; deploy/install-kubernetes.sh builds one")
class Chart(unittest.TestCase):
    def render(self, *options):
        return call(helm(), "template", "ijepa", CHART, "--kube-version", "1.36.0", *options)

    def test_lint_finds_nothing(self):
        for values in ([], ["-f", ROOT / "tests/integration/kubernetes/values.yaml"]):
            result = call(helm(), "lint", "--strict", CHART, "--kube-version", "1.36.0", *values)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_values_that_are_wrong_are_refused_by_name(self):
        for setting, word in [("worker.slot=4", "slot"), ("tls.mode=on", "mode"), ("worker.shmSize=16GB", "shmSize"),
                              ("podDisruptionBudget.maxUnavailable=2", "maxUnavailable"), ("tls.mode=certManager", "issuer"),
                              ("coordinator.settings.listen=x", "listen"), ("tls.mode=secret", "tls.nodes is empty")]:
            result = self.render("--set", setting)
            self.assertNotEqual(result.returncode, 0, setting)
            self.assertIn(word, result.stderr)

    def test_a_worker_mounts_the_key_of_its_node_alone(self):
        for mode in ("secret", "certManager"):
            result = self.render("--set", f"tls.mode={mode},tls.issuer.name=ca,tls.nodes={{node-a,node-b}}")
            self.assertEqual(result.returncode, 0, result.stderr)
            made = re.split(r"(?m)^---$", result.stdout)
            workers = {re.search(r"name: (\S+)", part)[1]: re.findall(r"secretName: ([^,}\s]+)", part)
                       for part in made if "kind: DaemonSet" in part}
            self.assertEqual(workers, {f"ijepa-worker-{node}": [f"ijepa-worker-{node}"] for node in ("node-a", "node-b")})
            certificates = [re.search(r"secretName: (\S+)", part)[1] for part in made if "kind: Certificate" in part]
            self.assertEqual(sorted(certificates), ["ijepa-coordinator-tls", "ijepa-worker-node-a", "ijepa-worker-node-b"]
                             if mode == "certManager" else [])

    def test_alerts_and_dashboards_are_those_of_the_tree(self):
        result = self.render("--set", "monitoring.rules=true,monitoring.dashboards=true,monitoring.podMonitor=true")
        self.assertEqual(result.returncode, 0, result.stderr)
        for alert in re.findall(r"alert: (\w+)", (DEPLOY / "prometheus/alerts.yml").read_text()):
            self.assertIn(f"alert: {alert}", result.stdout)
        for dashboard in (DEPLOY / "grafana/dashboards").glob("*.json"):
            self.assertIn(f"  {dashboard.name}: |-", result.stdout)

    def test_kustomize_is_what_the_chart_renders(self):
        with tempfile.NamedTemporaryFile("r") as made:
            self.assertEqual(call(DEPLOY / "kubernetes/make_kustomize.sh", made.name).returncode, 0)
            self.assertEqual(made.read(), (DEPLOY / "kubernetes/kustomize/base/ijepa.yaml").read_text(),
                             "run deploy/kubernetes/make_kustomize.sh")


if __name__ == "__main__":
    unittest.main()
