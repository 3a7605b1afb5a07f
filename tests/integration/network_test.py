"""The network of a gang: shown, told to NCCL, measured before training, and a reason to fail."""
import json
import unittest

from cluster import Cluster, events
from jobs import render_scenes, write_tiny_job


class NetworkTest(unittest.TestCase):

    def test_a_gang_measures_its_links_and_fails_where_one_is_below_the_jobs_demand(self):
        with Cluster(slots=1, workers=2) as cluster:
            nodes = json.loads(cluster.ctl("nodes", "-o", "json").out)["nodes"]
            self.assertEqual({node["info"]["network"]["interface"] for node in nodes}, {"lo"})
            train = render_scenes(cluster.folder / "train", 64)
            spec = write_tiny_job(cluster.folder, epochs=1)

            good = cluster.submit(spec, "--data", train, "--set", "network.env={NCCL_DEBUG: WARN}")
            ended = cluster.wait_for_end(good, 60)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", ended["status"].get("reason"))
            self.assertIn("NETWORK_CHECKED", events(ended))
            network = ended["status"]["attempts"][0]["network"]
            self.assertGreater(network["busGigabytesPerSecond"], 0)
            self.assertEqual({network["slowest"]["fromNode"], network["slowest"]["toNode"]}, {"node-a", "node-b"})
            self.assertIn("NCCL_DEBUG=WARN", cluster.ctl("logs", good).out)

            bad = cluster.submit(spec, "--data", train, "--name", "bad", "--set", "network.min_gbps=100000", "--set", "max_no_progress=1")
            ended = cluster.wait_for_end(bad, 60)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_FAILED")
            failure = ended["status"]["attempts"][0]["failure"]
            self.assertEqual(failure["failureClass"], "NETWORK", failure)
            self.assertIn(f"{failure['node']} is the likely cause", failure["message"])


if __name__ == "__main__":
    unittest.main()
