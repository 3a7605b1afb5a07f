"""Why a job waits or is refused reaches `ijepactl explain` and `describe` in the words of Kubernetes, with our advice."""
import base64
import json
import subprocess
import time
import unittest

from engine import ACCOUNT, NAMESPACE
from service import ServiceTest, wait_until


class RefusalsTest(ServiceTest):

    def assert_explained(self, job, words, advice):
        text = wait_until(lambda: words in (said := self.cluster.ctl("explain", job).out) and said, 60, f"{job}: {words}")
        self.assertIn(advice, text)
        self.assertIn(words, self.cluster.ctl("describe", job).out)

    def test_what_reaches_beyond_a_pod_is_refused_at_submit_unless_it_is_allowed(self):
        self.serve()
        cases = {"pod_patch": "{spec: {hostPID: true}}", "volumes": "[{host_path: /etc, mount_path: /data}]"}
        for key, value in cases.items():
            with self.assertRaisesRegex(AssertionError, "not allowed here.*allow_(pod_patch|host_path)"):
                self.submit(kubernetes=f", {key}: {value}")

    def test_what_waits_says_why(self):
        self.serve(settings={"allow_pod_patch": True})
        cases = [("wide", {"kubernetes": ", resources: {rdma/hca: 1}"}, "Insufficient rdma/hca", "kubernetes.resources"),
                 ("pool", {"kubernetes": ", node_selector: {pool: none}"}, "affinity/selector", "kubernetes.node_selector"),
                 ("class", {"kubernetes": ", pod_priority_class: none"}, "PriorityClass", "pod_priority_class"),
                 ("image", {"kubernetes": ", image: registry.example.org/none:1"}, "ImagePullBackOff", "pull_secret"),
                 ("field", {"kubernetes": ", pod_patch: {spec: {nodeSelectr: {a: b}}}"}, "nodeSelectr", "")]
        jobs = [(self.submit(name=name, epochs=1, **options), words, advice) for name, options, words, advice in cases]
        for job, words, advice in jobs:
            with self.subTest(job):
                self.assert_explained(job, words, advice)

    def test_a_quota_is_named_and_the_job_starts_once_it_is_raised(self):
        self.control.kubectl("create", "quota", "few", "-n", NAMESPACE, "--hard=pods=1")
        wait_until(lambda: self.control.get("resourcequotas", NAMESPACE)[0].get("status", {}).get("hard"), 60, "the quota holds")
        self.serve()
        job = self.submit(epochs=1)
        self.assert_explained(job, "exceeded quota: few", "ResourceQuota")
        self.control.kubectl("delete", "quota", "few", "-n", NAMESPACE)
        self.assertEqual(self.cluster.wait_for_end(job, 120)["status"]["state"], "JOB_STATE_SUCCEEDED")

    def expired_token(self):
        """As the API server's own key signs them, for a minute that is over."""
        uid = json.loads(self.control.kubectl("get", "serviceaccount", ACCOUNT, "-n", "ijepa", "-o", "json"))["metadata"]["uid"]
        claims = {"iss": self.control.server, "aud": [self.control.server], "sub": f"system:serviceaccount:ijepa:{ACCOUNT}",
                  "iat": int(time.time()) - 120, "nbf": int(time.time()) - 120, "exp": int(time.time()) - 60,
                  "kubernetes.io": {"namespace": "ijepa", "serviceaccount": {"name": ACCOUNT, "uid": uid}}}

        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        text = part(b'{"alg":"RS256"}') + b"." + part(json.dumps(claims).encode())
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.control.folder / "sa.key"], input=text, capture_output=True,
                                timeout=60, check=True).stdout
        return (text + b"." + part(signed)).decode()

    def test_a_job_waits_while_the_token_is_no_good_and_starts_once_it_is_renewed(self):
        self.serve()
        good = self.cluster.token_file.read_text()
        self.cluster.token_file.write_text(self.control.token("default", "ijepa"))
        job = self.submit(epochs=1)
        self.assert_explained(job, "forbidden", "give the coordinator's service account the right")
        self.cluster.token_file.write_text(self.expired_token())
        self.assert_explained(job, "Unauthorized", "renew it")
        self.cluster.token_file.write_text(good)
        self.assertEqual(self.cluster.wait_for_end(job, 120)["status"]["state"], "JOB_STATE_SUCCEEDED")

    def test_a_server_with_a_wrong_certificate_is_not_trusted(self):
        self.control.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                             "wrong.key", "-out", "wrong.crt", "-subj", "/CN=another-ca", "-days", "2")
        self.serve(kubeconfig=self.control.kubeconfig("wrong", token="t", authority="wrong.crt"))
        self.assert_explained(self.submit(epochs=1), "certificate", "take both from the same cluster")


if __name__ == "__main__":
    unittest.main()
