"""Requests about a model's files: pull, verify; and the scrub that nobody asks for."""

import json
import os
import signal
import unittest

import ggufd
from origin import Origin


class FileRequests(ggufd.DaemonTest):
    """A model behind an origin that is brought up on request only, and a client."""

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=4)
        self.origin = self.enterContext(Origin(self.web))
        self.config = self.config_for(self.origin.url("model.gguf"), self.file, load="manual")

    def serve(self):
        self.daemon = self.start(self.config)
        self.client = self.connect(self.daemon)
        self.client.until_status("starting")

    def state(self):
        [model] = self.client.ask("status", model="tiny")["models"]
        return model["state"]

    def assert_file(self, answer, path=None):
        self.assertEqual(answer["type"], "response", answer)
        self.assertEqual((answer["sha256"], answer["bytes"]), (self.file.sha256, self.file.size_bytes))
        self.assertEqual(answer["path"], str(path or self.blob(self.file)))

    def spoil(self):
        blob = self.blob(self.file)
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.seek(self.file.size_bytes // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0xFF]))


class Pull(FileRequests):
    def test_a_model_is_fetched_and_verified_and_not_loaded(self):
        self.serve()
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.assertEqual(self.state(), "uninitialized")
        told = [event.get("phase", event["status"]) for event in self.client.events if event.get("model") == "tiny"]
        self.assertIn("download", told)
        self.assertEqual(told[-1], "unloaded", "who comes later does not see a download that goes on")
        with self.daemon.connect() as late:
            self.assertEqual(late.until_status("unloaded")["reason"], "request")
        manifest = json.loads((self.store / "manifests/tiny.json").read_text())
        self.assertEqual(manifest["blob"], f"sha256:{self.file.sha256}")
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.assertEqual(self.client.ask("load", model="tiny", wait=True)["state"], "ready")
        self.stop(self.daemon)

    def test_without_waiting_the_answer_comes_at_once(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        answer = self.client.ask("pull", model="tiny", wait=False)
        self.assertEqual(set(answer), {"id", "type"})
        self.origin.wait_until_stalled("/model.gguf")
        [model] = self.client.ask("status")["models"]
        self.assertEqual((model["phase"], model["availability"]["code"]), ("download", 10))
        self.origin.clear("/model.gguf")
        self.client.until_status("unloaded")
        self.stop(self.daemon)

    def test_a_client_that_leaves_does_not_end_it(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        with self.daemon.connect() as other:
            other.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
            self.origin.wait_until_stalled("/model.gguf")
        self.origin.clear("/model.gguf")
        self.client.until_status("unloaded")
        self.assertTrue(self.blob(self.file).exists())
        self.stop(self.daemon)

    def test_cancel_ends_it_and_keeps_what_has_come(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        self.client.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
        self.origin.wait_until_stalled("/model.gguf")
        self.assertEqual(self.client.ask("cancel", model="tiny", wait=True)["state"], "uninitialized")
        self.assertEqual(self.client.answer("p")["code"], "cancelled")
        self.assertTrue(list(self.store.glob("blobs/sha256/*/.partial-*/data.tmp")))
        self.origin.clear("/model.gguf")
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.stop(self.daemon)

    def test_a_stop_of_the_daemon_ends_it(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        self.client.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
        self.origin.wait_until_stalled("/model.gguf")
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(self.client.answer("p")["code"], "cancelled")
        self.assertEqual(self.daemon.wait(), 0)

    def test_a_source_under_a_name(self):
        self.serve()
        source = self.origin.url("model.gguf")
        self.assert_file(self.client.ask("pull", source=source, sha256=self.file.sha256, name="mine"))
        self.assert_file(self.client.ask("pull", source=source, name="first-use"))
        self.assertEqual({file.name for file in (self.store / "manifests").iterdir()}, {"mine.json", "first-use.json"})
        told = [event.get("phase", event["status"]) for event in self.client.events if event.get("model") == "mine"]
        self.assertIn("download", told)
        self.assertEqual(told[-1], "unloaded")
        wrong = self.client.ask("pull", source=source, sha256="0" * 64, name="wrong")
        self.assertEqual((wrong["type"], wrong["code"]), ("error", "sha256_mismatch"), wrong)
        last = self.client.events[-1]
        self.assertEqual((last["status"], last["model"], last["code"]), ("error", "wrong", "sha256_mismatch"))
        with self.daemon.connect() as late:
            self.assertEqual(late.read_frame()["status"], "starting", "the names of what was pulled are forgotten")
        self.stop(self.daemon)

    def test_a_source_is_cancelled_by_the_name_that_it_is_to_have(self):
        self.serve()
        source = self.origin.url("model.gguf")
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        pull = {"id": "p", "type": "pull", "source": source, "sha256": self.file.sha256, "name": "mine"}
        self.client.send(json.dumps(pull).encode() + b"\n")
        self.origin.wait_until_stalled("/model.gguf")
        with self.daemon.connect() as late:
            now = late.until_status("loading_model")
            self.assertEqual((now["model"], now["phase"]), ("mine", "download"))
        self.assertEqual(self.client.ask("pull", source=source, name="mine")["code"], "busy", "another wish, that name")
        self.assertEqual(self.client.ask("cancel", model="mine", wait=True)["state"], "uninitialized")
        self.assertEqual(self.client.answer("p")["code"], "cancelled")
        last = self.client.events[-1]
        self.assertEqual((last["status"], last["model"], last["reason"]), ("unloaded", "mine", "cancelled"))
        self.assertEqual(self.client.ask("cancel", model="mine")["code"], "unknown_model")
        self.assertTrue(list(self.store.glob("blobs/sha256/*/.partial-*/data.tmp")))
        self.origin.clear("/model.gguf")
        self.assert_file(self.client.ask("pull", source=source, sha256=self.file.sha256, name="mine"))
        self.stop(self.daemon)

    def test_what_cannot_be_meant_is_refused(self):
        self.serve()
        url = "https://example.org/m.gguf"
        for fields, code in (({}, "missing_field"), ({"source": url}, "missing_field"), ({"name": "n"}, "missing_field"),
                             ({"model": "nobody"}, "unknown_model"), ({"model": "tiny", "source": url}, "bad_field"),
                             ({"source": "nonsense", "name": "n"}, "bad_field"),
                             ({"source": "/etc/passwd", "name": "n"}, "bad_field"),
                             ({"source": "http://example.org/m.gguf", "name": "n"}, "bad_field"),
                             ({"source": url, "name": "../n"}, "bad_field"), ({"source": url, "name": "tiny"}, "bad_field"),
                             ({"source": url, "name": "n", "sha256": "12"}, "bad_field")):
            with self.subTest(fields=fields):
                answer = self.client.ask("pull", **fields)
                self.assertEqual((answer["type"], answer["code"]), ("error", code), answer)
        self.stop(self.daemon)


class Verify(FileRequests):
    def test_a_good_blob_of_a_model_that_is_ready(self):
        self.serve()
        self.client.ask("load", model="tiny", wait=True)
        stamp = self.blob(self.file).with_name("verified.json")
        before = json.loads(stamp.read_text())
        self.assert_file(self.client.ask("verify", model="tiny"))
        self.assertGreater(json.loads(stamp.read_text())["verified_at"], before["verified_at"])
        self.assertEqual(self.state(), "ready")
        self.stop(self.daemon)

    def test_a_bad_blob_goes_to_quarantine_and_the_model_stays_ready(self):
        self.serve()
        self.client.ask("load", model="tiny", wait=True)
        self.spoil()
        answer = self.client.ask("verify", model="tiny")
        self.assertEqual((answer["type"], answer["code"]), ("error", "sha256_mismatch"), answer)
        [quarantined] = self.quarantined()
        self.assertIn(str(quarantined), answer["message"])
        # That the mapped file was written to may have been noticed by itself.
        told = [code for code in self.warnings() if code != "file_changed"]
        self.assertEqual(told, ["sha256_mismatch"], "the warning is published before the answer")
        self.assertEqual(self.state(), "ready")
        self.assertEqual(self.client.ask("verify", model="tiny")["code"], "not_in_store")
        self.stop(self.daemon)

    def warnings(self):
        return [event["code"] for event in self.client.events if event["status"] == "warning"]

    def test_what_is_not_there_or_not_known(self):
        self.serve()
        self.assertEqual(self.client.ask("verify", model="tiny")["code"], "not_in_store")
        self.assertEqual(self.client.ask("verify", model="nobody")["code"], "unknown_model")
        self.assertEqual(self.client.ask("verify")["code"], "missing_field")
        self.stop(self.daemon)


class Scrub(FileRequests):
    def test_a_blob_that_has_gone_bad_is_found(self):
        self.serve()
        self.client.ask("pull", model="tiny")
        self.stop(self.daemon)
        self.spoil()
        self.config["scrub_interval_h"] = 24
        daemon = self.start(self.config)
        client = self.connect(daemon)
        warning = client.until_status("warning", model="tiny")
        self.assertEqual(warning["code"], "sha256_mismatch")
        [quarantined] = self.quarantined()
        self.assertIn(str(quarantined), warning["message"])
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
