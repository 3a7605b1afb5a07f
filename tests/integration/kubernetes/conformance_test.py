"""The suite of backend_conformance.py over a queue that Kubernetes places."""
import unittest

from service import ServiceTest
from backend_conformance import BackendConformance


class KubernetesTest(BackendConformance, ServiceTest):

    def setUp(self):
        self.serve(settings={"allow_host_path": True})
        self.prepare()
        self.jobs_folder.chmod(0o755)  # ranks in pods are another user
        volume = f"{{host_path: {self.jobs_folder}, mount_path: {self.jobs_folder}, read_only: true}}"
        self.section = f"queue: pods\nkubernetes: {{ranks_per_pod: 2, gpu_resource: none, volumes: [{volume}]}}\n"


if __name__ == "__main__":
    unittest.main()
