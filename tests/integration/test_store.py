"""The store: its layout, the second start that reads nothing again, and what becomes of bytes that do not match."""

import fcntl
import json
import re
import stat
import time
import unittest

import ggufd
import story
from origin import Origin


class StoreTest(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=6)
        self.origin = self.enterContext(Origin(self.web))
        self.config = self.config_for(self.origin.url("model.gguf"), self.file)

    def ready(self, config=None):
        daemon, client, outcome = self.bring_up(config or self.config)
        self.assert_ready(outcome, daemon)
        story.check_all(client.events, "tiny")
        self.stop(daemon)
        return client


class Layout(StoreTest):
    def test_the_blob_is_complete_read_only_and_stamped(self):
        self.ready()
        blob = self.blob(self.file)
        self.assertEqual(blob.read_bytes(), self.file.path.read_bytes())
        self.assertEqual(stat.S_IMODE(blob.stat().st_mode), 0o444)
        self.assertIsInstance(json.loads((blob.parent / "verified.json").read_text()), dict)
        self.assertEqual(list(self.store.glob("blobs/sha256/*/.partial-*")), [], "no partial download stays behind")

    def test_the_manifest_says_what_it_is_and_where_it_came_from(self):
        before = time.time() - 1
        self.ready()
        manifest = json.loads((self.store / "manifests/tiny.json").read_text())
        self.assertEqual(manifest["schema_version"], 1)
        self.assertEqual((manifest["name"], manifest["format"]), ("tiny", "gguf"))
        self.assertEqual(manifest["blob"], f"sha256:{self.file.sha256}")
        self.assertEqual(manifest["size_bytes"], self.file.size_bytes)
        self.assertLessEqual({"registry", "repo", "revision", "filename"}, set(manifest["source"]))
        self.assertEqual(manifest["source"]["filename"], "model.gguf")
        self.assertIn("ggufd", manifest["produced_by"])
        self.assertRegex(manifest["produced_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
        self.assertGreater((self.store / "manifests/tiny.json").stat().st_mtime, before)

    def test_the_blob_is_in_use_while_the_daemon_runs(self):
        daemon, _, outcome = self.bring_up(self.config)
        self.assert_ready(outcome, daemon)
        with open(self.blob(self.file), "rb") as blob:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(blob, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(blob, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(blob, fcntl.LOCK_UN)
            self.stop(daemon)
            fcntl.flock(blob, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_nobody_else_may_write_into_the_store(self):
        self.ready()
        for path in [self.store, *self.store.rglob("*")]:
            self.assertEqual(path.lstat().st_mode & 0o022, 0, path)


class SecondStart(StoreTest):
    def test_nothing_is_fetched_or_hashed_again(self):
        self.ready()
        self.origin.forget_requests()
        client = self.ready()
        self.assertEqual(self.origin.requests(), [])
        self.assertTrue({"download", "verify", "quarantine"}.isdisjoint(story.steps(client.events)))
        integrity = {event["integrity"] for event in self.phases_of(client, "mmap")}
        self.assertEqual(len(integrity), 1)
        self.assertLessEqual(integrity, {"stat-cached", "kernel-enforced"})

    def test_a_touched_blob_is_hashed_again_but_not_fetched(self):
        self.ready()
        self.origin.forget_requests()
        blob = self.blob(self.file)
        blob.touch()
        client = self.ready()
        self.assertEqual(self.origin.requests(), [])
        # Sealed by the kernel, its times prove nothing and need not be believed.
        self.assertIn(self.phases_of(client, "mmap")[-1]["integrity"], ("hashed", "kernel-enforced"))

    def test_a_tampered_blob_is_quarantined_and_fetched_once(self):
        self.ready()
        self.origin.forget_requests()
        blob = self.blob(self.file)
        blob.chmod(0o644)
        try:
            with open(blob, "r+b") as opened:
                opened.seek(1_000_000)
                opened.write(b"tampered")
        except PermissionError:
            self.skipTest("the kernel refuses to change a sealed blob, which is what this is about")
        blob.chmod(0o444)
        client = self.ready()
        self.assertIn("download", story.steps(client.events))
        self.assertEqual(len(self.quarantined()), 1)
        self.assertEqual(blob.read_bytes(), self.file.path.read_bytes())
        self.assertTrue(self.origin.requests("/model.gguf"))


class Mismatch(StoreTest):
    def test_what_a_source_without_ranges_sent_is_quarantined_and_fetched_again(self):
        self.origin.fault("/model.gguf", flip_at=self.file.size_bytes // 2, times=1, ignore_range=True)
        client = self.ready()
        told = " ".join(story.steps(client.events))
        self.assertIn("download verify quarantine download verify mmap", told)
        event = next(event for event in client.events if event.get("phase") == "quarantine")
        self.assertEqual(event["expected_sha256"], self.file.sha256)
        self.assertNotEqual(event["actual_sha256"], self.file.sha256)
        self.check_evidence(event)
        self.assertEqual(self.blob(self.file).read_bytes(), self.file.path.read_bytes())

    def test_a_byte_that_is_flipped_once_is_replaced_and_nothing_is_put_away(self):
        self.origin.fault("/model.gguf", flip_at=self.file.size_bytes // 2, times=1)
        client = self.ready()
        self.assertIn("download verify download verify mmap", " ".join(story.steps(client.events)))
        self.assertEqual(self.quarantined(), [])
        self.assertEqual(self.blob(self.file).read_bytes(), self.file.path.read_bytes())

    def check_evidence(self, event):
        evidence = self.quarantined()
        self.assertEqual([str(path) for path in evidence], [event["quarantine_path"]])
        self.assertRegex(evidence[0].name, r"^\d{8}T\d{6}Z-[a-z0-9_-]+\.bin$")
        kept = ggufd.model_file(evidence[0])
        self.assertEqual(kept.sha256, event["actual_sha256"], "the bad bytes are kept as they came")
        self.assertTrue(re.fullmatch(r"[0-9a-f]{64}", event["actual_sha256"]))
        said = json.loads(evidence[0].with_suffix(".json").read_text())
        self.assertLessEqual({"url", "expected", "actual", "size", "when", "differing_ranges"}, set(said))
        self.assertEqual(said["url"], self.origin.url("model.gguf"))
        self.assertEqual((said["expected"], said["actual"]), (event["expected_sha256"], event["actual_sha256"]))
        self.assertEqual(said["size"], self.file.size_bytes)

    def test_a_byte_that_is_always_flipped_is_a_mismatch_after_a_second_look_and_one_fresh_download(self):
        self.origin.fault("/model.gguf", flip_at=self.file.size_bytes // 2)
        daemon, client, outcome = self.bring_up(self.config)
        self.assert_error(outcome, "sha256_mismatch")
        story.check_all(client.events, "tiny")
        self.assertEqual(story.steps(client.events).count("quarantine"), len(self.quarantined()))
        self.assertEqual(story.steps(client.events).count("download"), 3)
        self.assertFalse(self.blob(self.file).exists())
        self.stop(daemon)


class WithoutAutoPull(StoreTest):
    def test_what_is_not_in_the_store_is_not_fetched(self):
        daemon, client, outcome = self.bring_up(self.config | {"auto_pull": False})
        self.assert_error(outcome, "not_in_store")
        self.assert_steps(client, ["checking_local", "error"])
        self.assertEqual(self.origin.requests(), [])
        self.stop(daemon)

    def test_what_is_in_the_store_is_used(self):
        self.ready()
        self.ready(self.config | {"auto_pull": False})


if __name__ == "__main__":
    unittest.main()
