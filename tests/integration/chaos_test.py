"""Ranks, workers and the coordinator are killed at random while jobs train: they end with the same bits as in peace, and
nobody does anything. The seed is printed; IJEPA_CHAOS_SEED sets it."""
import os
import random
import unittest

import chaos
from cluster import Cluster, step_of
from jobs import render_scenes, write_tiny_job

FLAGS = ["--quarantine-after-faults", "0"]
SETTINGS = ["max_restarts=1000", "max_no_progress=100", "restart_delay_seconds=0", "faults.non_finite=rollback"]


class ChaosTest(unittest.TestCase):
    # A job has EPOCHS * 16 steps. The gap is short so that several faults fall into a minute.
    EPOCHS, EVERY, MEAN_GAP_SECONDS, STORM_SECONDS, TIMEOUT = 40, 40, 6, 60, 300

    def test_jobs_under_faults_end_with_the_bits_of_the_calm_one(self):
        seed = int(os.environ.get("IJEPA_CHAOS_SEED", random.randrange(1 << 30)))
        print(f"chaos seed {seed}", flush=True)
        with Cluster(slots=2, workers=2, coordinator_flags=FLAGS) as cluster:
            train = render_scenes(cluster.folder / "train", 32 * 16)

            def submit(name):
                spec = write_tiny_job(cluster.folder, name, ranks=4, epochs=self.EPOCHS, every=self.EVERY)
                return cluster.submit(spec, "--data", train, *[word for setting in SETTINGS for word in ("--set", setting)])
            calm, expected = chaos.run_to_end(cluster, submit("calm"), self.TIMEOUT)
            self.assertEqual(calm["status"]["state"], "JOB_STATE_SUCCEEDED")
            storm = chaos.Storm(cluster, seed, self.MEAN_GAP_SECONDS, self.STORM_SECONDS)
            ended = chaos.storm_over(cluster, submit, storm, self.TIMEOUT)
            print(chaos.report([job for job, _ in ended], storm.faults, chaos.training_seconds(calm), seed, self.EVERY), flush=True)
            self.assertGreaterEqual(len(storm.faults), 2, "the storm passed by; raise STORM_SECONDS")
            for job, parts in ended:
                self.assertEqual(job["status"]["state"], "JOB_STATE_SUCCEEDED", job["status"].get("reason"))
                self.assertEqual(step_of(job), step_of(calm))
                self.assertEqual(parts.keys(), expected.keys())
                for name, data in expected.items():
                    self.assertEqual(parts[name], data, f"{name} differs from the calm run's")
            self.assertEqual(cluster.rank_pids(), [], "nothing is left behind")


if __name__ == "__main__":
    unittest.main()
