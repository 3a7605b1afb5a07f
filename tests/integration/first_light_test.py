"""One command takes images through coordinator, worker and ranks to a pretrained checkpoint."""
import json
import unittest
import urllib.request

from cluster import Cluster, probe_scores, step_of
from jobs import render_scenes, write_tiny_job


class FirstLightTest(unittest.TestCase):

    def test_a_job_of_two_ranks_ends_with_a_committed_checkpoint_and_probes(self):
        with Cluster(slots=2) as cluster:
            train = render_scenes(cluster.folder / "train", 256, seed=1)
            held_out = render_scenes(cluster.folder / "held-out", 128, seed=2)
            spec = write_tiny_job(cluster.folder, epochs=4, every=20)
            job = cluster.submit(spec, "--data", train, "--eval", held_out)
            ended = cluster.wait_for_end(job, 120)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", json.dumps(ended["status"].get("reason")))
            self.assertEqual(step_of(ended), 4 * 256 // 16)
            self.assertEqual(len(ended["status"]["attempts"]), 1)

            newest = ended["status"]["latestCheckpoint"]
            self.assertEqual(int(newest["step"]), 64)
            listed = json.loads(cluster.ctl("checkpoints", job, "-o", "json").out)["checkpoints"]
            self.assertEqual(int(listed[0]["step"]), 64)
            for checkpoint in listed:
                self.assertTrue((cluster.folder / checkpoint["path"] / "manifest.json").exists())
            folders = [p.name for p in (cluster.folder / newest["path"]).parent.iterdir()]
            self.assertEqual(len(folders), len(listed), f"retention leaves only what is committed: {folders}")

            for step in (0, 64):
                scores, effective_rank = probe_scores(ended, step)
                self.assertEqual({target for target, _ in scores}, {"class", "count", "depth"})
                self.assertGreater(effective_rank, 1)
                for score in scores.values():
                    self.assertLess(score["low"], score["accuracy"])
                    self.assertGreater(score["high"], score["accuracy"])

            described = cluster.ctl("describe", job).out
            for expected in ("SUCCEEDED", "linear", "knn", "CHECKPOINT_COMMITTED"):
                self.assertIn(expected, described)
            logs = cluster.ctl("logs", job).out
            self.assertIn("embed_dim", logs, "the rank prints its resolved configuration")

    def test_metrics_of_both_daemons_are_served_while_a_job_runs(self):
        with Cluster(slots=2) as cluster:
            train = render_scenes(cluster.folder / "train", 128)
            job = cluster.submit(write_tiny_job(cluster.folder, epochs=200), "--data", train)
            cluster.wait_for(job, lambda found: step_of(found) > 3, 60, "the job trains")
            coordinator = read("http://" + cluster.addresses()["metrics"] + "/metrics")
            self.assertRegex(coordinator, r'ijepa_coordinator_jobs\{[^}]*state="running"[^}]*\} 1')
            address = json.loads((cluster.state_dirs[0] / "worker.json").read_text())["metrics_address"]
            self.assertIn("ijepa_worker_slots", read(f"http://{address}/metrics"))
            self.assertEqual(cluster.ctl("cancel", job).code, 0)
            ended = cluster.wait_for_end(job, 60)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_CANCELLED")
            saved = int(ended["status"]["latestCheckpoint"]["step"])
            self.assertEqual(saved, step_of(ended), "a cancelled job saves the step at which it stopped")

    def test_idle_daemons_stay_below_50_megabytes(self):
        with Cluster(slots=2) as cluster:
            for daemon in (cluster.coordinator, cluster.worker):
                self.assertLessEqual(resident_megabytes(daemon.process.pid), 50, daemon.name)

    def test_a_second_job_waits_with_a_reason_and_runs_when_slots_are_free(self):
        with Cluster(slots=2) as cluster:
            train = render_scenes(cluster.folder / "train", 128)
            first = cluster.submit(write_tiny_job(cluster.folder, "first", epochs=500), "--data", train)
            cluster.wait_for(first, lambda found: step_of(found) > 0, 60, "the first job trains")
            second = cluster.submit(write_tiny_job(cluster.folder, "second", epochs=2), "--data", train)
            waiting = cluster.wait_for(second, lambda found: found["status"].get("reason", {}).get("code"), 20,
                                       "a reason is given")
            self.assertEqual(waiting["status"]["state"], "JOB_STATE_QUEUED")
            self.assertEqual(waiting["status"]["reason"]["code"], "WAITING_FOR_SLOTS")
            cluster.ctl("cancel", first)
            ended = cluster.wait_for_end(second, 90)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")


def resident_megabytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no VmRSS")


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    unittest.main()
