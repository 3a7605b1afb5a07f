"""Alert rules by promtool's unit tests; dashboards by lint and by running every query against a real Prometheus that scrapes
a real run. Grafana itself is not run: what a panel looks like is not seen here."""
import json
import re
import shutil
import socket
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

from cluster import ROOT, Cluster, step_of, wait_until
from jobs import render_scenes, write_tiny_job

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
# Series that a healthy run does not have; their queries must be valid and may be empty.
RARE = ("slow_rank_ratio", "bad_images")


def panels(path):
    return json.loads(path.read_text())["panels"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Prometheus:
    """A server with the rules of deploy/prometheus that scrapes the cluster every second."""

    def __init__(self, cluster):
        self.url = f"http://127.0.0.1:{free_port()}"
        folder = cluster.folder / "prometheus"
        shutil.copytree(DEPLOY / "prometheus", folder)
        worker = json.loads((cluster.state_dirs[0] / "worker.json").read_text())["metrics_address"]
        text = (folder / "prometheus.yml").read_text()
        for before, after in (("127.0.0.1:7442", cluster.addresses()["metrics"]), ("127.0.0.1:7443", worker),
                              ("scrape_interval: 15s", "scrape_interval: 1s")):
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (folder / "prometheus.yml").write_text(text)
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={self.url[7:]}"], stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def query(self, expression):
        """Series that the expression has now; None while the server does not answer."""
        data = urllib.parse.urlencode({"query": expression}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query", data, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # It reads its storage.
                return None
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        except OSError:
            return None


class DashboardsTest(unittest.TestCase):

    def test_files_are_what_the_table_says(self):
        subprocess.run([str(DEPLOY / "grafana/make_dashboards.py"), "--check"], check=True, timeout=60)

    def test_panels_do_not_overlap_and_each_has_a_title_a_unit_and_queries(self):
        self.assertEqual(len(DASHBOARDS), 2)
        for path in DASHBOARDS:
            taken, ids = {}, set()
            for panel in panels(path):
                name = f"{path.name}: {panel['title']}"
                self.assertNotIn(panel["id"], ids, name)
                ids.add(panel["id"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], name)
                self.assertTrue(panel["targets"], name)
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, name)
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertNotIn((x, y), taken, f"{name} lies over {taken.get((x, y))}")
                        taken[x, y] = name
                for target in panel["targets"]:
                    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                        self.assertRegex(label, "^[a-z_]+$", name)

    @unittest.skipUnless(shutil.which("promtool"), "needs the package prometheus")
    def test_rules_and_configuration_are_valid(self):
        subprocess.run(["promtool", "check", "config", "prometheus.yml"], check=True, timeout=60,
                       cwd=DEPLOY / "prometheus", stdout=subprocess.DEVNULL)

    @unittest.skipUnless(shutil.which("promtool"), "needs the package prometheus")
    def test_each_alert_fires_where_it_must_and_is_silent_where_it_must(self):
        subprocess.run(["promtool", "test", "rules", "alerts_test.yml"], check=True, timeout=60, cwd=DEPLOY / "prometheus",
                       stdout=subprocess.DEVNULL)
        alerts = set(re.findall(r"alert: (\w+)", (DEPLOY / "prometheus/alerts.yml").read_text()))
        cases = (DEPLOY / "prometheus/alerts_test.yml").read_text().split("alertname: ")[1:]
        fired = {case.split()[0] for case in cases if "exp_alerts" in case}
        self.assertEqual(alerts, fired)
        self.assertGreaterEqual(len(alerts), 8)

    @unittest.skipUnless(shutil.which("prometheus"), "needs the package prometheus")
    def test_every_query_has_data_from_a_real_run(self):
        with Cluster(slots=2) as cluster:
            train = render_scenes(cluster.folder / "train", 128)
            job = cluster.submit(write_tiny_job(cluster.folder, epochs=2000, every=20), "--data", train,
                                 "--set", "telemetry.every_steps=5")
            cluster.wait_for(job, lambda found: "latestCheckpoint" in found["status"] and step_of(found) > 20, 60,
                             "the job trains and has saved")
            waiting = cluster.submit(write_tiny_job(cluster.folder, "waiting"), "--data", train)
            with Prometheus(cluster) as prometheus:
                for path in DASHBOARDS:
                    for panel in panels(path):
                        for target in panel["targets"]:
                            self.run_query(prometheus, f"{path.name}: {panel['title']}", target)
            for name in (waiting, job):
                self.assertEqual(cluster.ctl("cancel", name).code, 0)
                cluster.wait_for_end(name, 60)

    def run_query(self, prometheus, name, target):
        # As Grafana fills it in; short windows, because the server has run for seconds.
        expression = re.sub(r"\[\d+m\]", "[10s]", target["expr"].replace("$job", ".+"))

        def answer():
            series = prometheus.query(expression)
            rare = any(part in expression for part in RARE)
            return [series] if series or (rare and series is not None) else None
        [series] = wait_until(answer, 60, f"{name}: {expression} has data")
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            for one in series:
                self.assertIn(label, one["metric"], f"{name}: the legend names a label that {expression} does not have")


if __name__ == "__main__":
    unittest.main()
