"""What users get wrong: one clear line, a code that is not 0, and nothing lost."""
import os
import subprocess
import unittest
from pathlib import Path

from cluster import BIN, Cluster, step_of
from jobs import render_scenes, write_tiny_job


class BadInputTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(slots=2).__enter__()
        cls.train = render_scenes(cls.cluster.folder / "train", 64)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def refuse(self, spec, code, *parts, arguments=()):
        """The spec is refused with `code`, in at most three lines that hold `parts`."""
        result = self.cluster.ctl("submit", spec, "--data", self.train, *arguments)
        self.assertEqual(result.code, code, result.err)
        self.assertEqual(result.out, "")
        self.assertLessEqual(len(result.err.strip().splitlines()), 3, result.err)
        for part in parts:
            self.assertIn(part, result.err)

    def spec_with(self, name, old, new):
        path = write_tiny_job(self.cluster.folder, name)
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))
        return path

    def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(self):
        spec = self.spec_with("typo", "patch_size: 4", "patch_sise: 4")
        self.refuse(spec, 7, "typo.yaml:5:", "mask.patch_sise", "mask.patch_size")

    def test_a_negative_batch_is_named_with_its_range(self):
        spec = self.spec_with("negative", "batch_size: 8", "batch_size: -8")
        self.refuse(spec, 7, "data.batch_size", "-8", "65536")

    def test_a_patch_that_does_not_divide_the_crop(self):
        spec = self.spec_with("patch", "patch_size: 4", "patch_size: 5")
        self.refuse(spec, 7, "mask.patch_size", "32")

    def test_a_min_keep_that_no_block_can_reach(self):
        spec = self.spec_with("keep", "min_keep: 2", "min_keep: 60")
        self.refuse(spec, 7, "mask.min_keep", "60")

    def test_an_empty_data_folder(self):
        empty = self.cluster.folder / "empty"
        empty.mkdir()
        spec = write_tiny_job(self.cluster.folder, "empty")
        result = self.cluster.ctl("submit", spec, "--data", empty)
        self.assertEqual(result.code, 7, result.err)
        self.assertIn(str(empty), result.err)

    def test_more_ranks_than_slots_is_refused_with_the_numbers_unless_told_to_queue(self):
        spec = write_tiny_job(self.cluster.folder, "large", ranks=3)
        self.refuse(spec, 5, "3", "2", "--queue-anyway")
        job = self.cluster.submit(spec, "--data", self.train, "--queue-anyway")
        waiting = self.cluster.wait_for(job, lambda found: found["status"].get("reason", {}).get("code"), 20, "a reason")
        self.assertEqual(waiting["status"]["state"], "JOB_STATE_QUEUED")
        self.assertEqual(self.cluster.ctl("cancel", job).code, 0)

    def test_an_unreachable_coordinator(self):
        result = subprocess.run([str(BIN / "ijepactl"), "--coordinator", "127.0.0.1:1", "list"], capture_output=True,
                                text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 6)
        self.assertIn("127.0.0.1:1", result.stderr)
        self.assertLessEqual(len(result.stderr.strip().splitlines()), 3)

    def test_a_taken_port_of_each_kind(self):
        taken = self.cluster.addresses()
        flags = {"client": "--listen", "worker": "--worker-listen", "metrics": "--metrics-listen"}
        for kind in flags:
            with self.subTest(kind):
                listen = [part for other, flag in flags.items()
                          for part in (flag, taken[other] if other == kind else "127.0.0.1:0")]
                result = subprocess.run([str(BIN / "ijepa-coordinator"), *listen, "--data-dir",
                                         str(self.cluster.folder / f"second-{kind}"), "--checkpoint-root",
                                         str(self.cluster.folder)],
                                        capture_output=True, text=True, timeout=60, check=False)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(taken[kind], result.stderr)

    def test_an_unreadable_image_is_skipped_counted_and_named(self):
        train = render_scenes(self.cluster.folder / "spoilt", 512, seed=5)
        victim = sorted(Path(train).rglob("*.jpg"))[3]
        victim.unlink()
        odd = os.fsencode(victim.with_suffix("")) + b"-caf\xe9.jpg"  # No name in UTF-8, as old archives have.
        with open(odd, "wb") as file:
            file.write(b"not a picture")
        # Of one rank, whose report counts for itself: every image is met once.
        job = self.cluster.submit(write_tiny_job(self.cluster.folder, "spoilt", ranks=1, epochs=1), "--data", train)
        ended = self.cluster.wait_for_end(job, 90)
        self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
        progress = ended["status"]["progress"]
        self.assertEqual(int(progress["badImages"]), 1)
        self.assertEqual(int(progress["data"]["corrupt"]), 1)
        told = [event["message"] for event in ended["status"]["events"] if event["code"] == "BAD_IMAGE"]
        self.assertTrue(any(f"{victim.stem}-caf\ufffd.jpg" in message for message in told), told)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
    def test_a_full_disk_at_a_checkpoint_fails_the_job_with_the_numbers_and_keeps_what_was_committed(self):
        disk = self.cluster.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False)
        if mounted.returncode != 0:
            self.skipTest("this machine does not let tests mount a tmpfs")
        try:
            spec = write_tiny_job(self.cluster.folder, "full", epochs=200, every=10)
            job = self.cluster.submit(spec, "--data", self.train, "--set", f"logging.folder={disk}", "--set",
                                      "max_restarts=1", "--set", "checkpoint.keep_last=100")
            ended = self.cluster.wait_for_end(job, 120)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_FAILED")
            self.assertIn("free", ended["status"]["reason"]["message"])
            committed = ended["status"]["latestCheckpoint"]
            self.assertGreaterEqual(int(committed["step"]), 10)
            self.assertTrue((Path(committed["path"]) / "manifest.json").exists())
            self.assertEqual([p.name for p in disk.rglob("*.tmp")], [], "nothing half-written stays")
            self.assertGreaterEqual(step_of(ended), int(committed["step"]))
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)


if __name__ == "__main__":
    unittest.main()
