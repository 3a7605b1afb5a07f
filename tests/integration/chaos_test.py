"""Ranks, workers and the coordinator are killed at random while a job trains: it ends with the same bits as in peace, and
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
    # Steps are EPOCHS * 16. The gap is short so that several faults fall into a minute.
    EPOCHS, EVERY, MEAN_GAP_SECONDS, TIMEOUT = 80, 40, 6, 300

    def submit(self, cluster):
        train = render_scenes(cluster.folder / "train", 32 * 16)
        spec = write_tiny_job(cluster.folder, ranks=4, epochs=self.EPOCHS, every=self.EVERY)
        return cluster.submit(spec, "--data", train, *[word for setting in SETTINGS for word in ("--set", setting)])

    def test_a_job_under_faults_ends_with_the_bits_of_the_calm_one(self):
        seed = int(os.environ.get("IJEPA_CHAOS_SEED", random.randrange(1 << 30)))
        print(f"chaos seed {seed}", flush=True)
        with Cluster(slots=2, workers=2, coordinator_flags=FLAGS) as cluster:
            calm, expected = chaos.run_to_end(cluster, self.submit, self.TIMEOUT)
            self.assertEqual(calm["status"]["state"], "JOB_STATE_SUCCEEDED")
            ended, parts, faults = chaos.storm_over(cluster, self.submit, seed, self.MEAN_GAP_SECONDS, self.TIMEOUT)
            print(chaos.report(ended, faults, chaos.training_seconds(calm), chaos.training_seconds(ended), seed,
                               self.EVERY), flush=True)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", ended["status"].get("reason"))
            self.assertEqual(step_of(ended), step_of(calm))
            self.assertGreaterEqual(len(faults), 2, "the storm passed by; raise EPOCHS")
            self.assertEqual(parts.keys(), expected.keys())
            for name, data in expected.items():
                self.assertEqual(parts[name], data, f"{name} differs from the calm run's")
            self.assertEqual(cluster.rank_pids(), [], "nothing is left behind")


if __name__ == "__main__":
    unittest.main()
