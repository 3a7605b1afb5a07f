"""The check of the API finds what it is for, and lets pass what does no harm."""
import shutil
import tempfile
import unittest
from pathlib import Path

import proto_check


class ProtoCheckTest(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        shutil.copytree(proto_check.ROOT / "proto", self.root / "proto")
        self.baseline = set(proto_check.BASELINE.read_text().splitlines())

    def tearDown(self):
        shutil.rmtree(self.root)

    def change(self, file, old, new):
        path = self.root / "proto/ijepa/v1" / file
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))

    def breaches(self):
        api = proto_check.Api(self.root)
        return api.breaches + proto_check.broken(api, self.baseline)

    def test_what_is_there_passes(self):
        self.assertEqual(self.breaches(), [])

    def test_a_new_field_passes(self):
        self.change("job.proto", "message Label {", "message Label {\n  string note = 77;")
        self.assertEqual(self.breaches(), [])

    def test_another_number_is_found(self):
        self.change("job.proto", "string etag = 5;", "string etag = 99;")
        self.assertIn("field ijepa.v1.Job 5 etag", self.breaches()[0])

    def test_another_type_is_found(self):
        self.change("job.proto", "  int64 last_step = 6;", "  int32 last_step = 6;")
        self.assertIn("field ijepa.v1.Attempt 6 last_step", self.breaches()[0])

    def test_a_field_that_is_gone_is_found_unless_its_number_is_reserved(self):
        self.change("coordinator.proto", "  string order_by = 131;\n", "")
        self.assertEqual(len(self.breaches()), 1)
        self.change("coordinator.proto", "message ListJobsRequest {", "message ListJobsRequest {\n  reserved 131;")
        self.assertEqual(self.breaches(), [])

    def test_a_method_that_is_gone_is_found(self):
        self.change("coordinator.proto", "  rpc ExplainJob(ExplainJobRequest) returns (JobExplanation);\n", "")
        self.assertIn("method ijepa.v1.JobService ExplainJob", self.breaches()[0])

    def test_style_is_checked(self):
        self.change("auth.proto", "ROLE_UNSPECIFIED = 0", "NONE = 0")
        self.assertTrue(any("is not ROLE_UNSPECIFIED" in line for line in self.breaches()))
        self.change("auth.proto", "rpc WhoAmI(WhoAmIRequest)", "rpc WhoAmI(ListTokensRequest)")
        self.assertTrue(any("must take WhoAmIRequest" in line for line in self.breaches()))


if __name__ == "__main__":
    unittest.main()
