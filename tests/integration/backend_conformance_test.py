"""The suite of backend_conformance.py over own workers and over SLURM."""
import unittest

from backend_conformance import BackendConformance
from cluster import Cluster
from slurm import MISSING, Slurm
from slurm_backend_test import SlurmCluster


class OwnWorkersTest(BackendConformance, unittest.TestCase):

    section = "queue: default\n"

    def setUp(self):
        self.cluster = Cluster(slots=2, workers=2)
        self.cluster.__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.prepare()


@unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
class SlurmTest(BackendConformance, unittest.TestCase):

    section = "queue: cluster\nslurm: {nodes: 2}\n"

    def setUp(self):
        slurm = Slurm(nodes=2, cpus=4)
        slurm.__enter__()
        self.addCleanup(lambda: slurm.__exit__(None, None, None))
        self.cluster = SlurmCluster(slurm)
        self.cluster.__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.prepare()


if __name__ == "__main__":
    unittest.main()
