"""A reload that gives a model other bytes: what serves until they are here, and where they can't be had."""

import unittest

import reloading
import story
from origin import Origin


class NewBytes(reloading.ReloadTest):
    """"one" gets another file, from an origin that stops half way."""

    PATH = "/three.gguf"

    def setUp(self):
        super().setUp()
        self.origin = self.enterContext(Origin(self.web))
        self.new = self.files["three"]

    def change(self, **more):
        self.entries[0] = self.entry("one") | {"source": self.origin.url("three.gguf"), "sha256": self.new.sha256} | more
        self.write()

    def until_stalled(self):
        self.origin.wait_until_stalled(self.PATH)
        self.client.until(lambda event: event.get("phase") == "download" and event["status"] == "restarting")

    def test_the_old_model_serves_until_the_new_one_is_verified(self):
        self.serve()
        before = self.untouched("two")
        self.origin.fault(self.PATH, stall_at=self.new.size_bytes // 2)
        self.change()
        self.assertEqual(self.reload()["state"], "ready")
        with self.daemon.connect() as waiting:
            waiting.send(b'{"id":"w","type":"reload","wait":true}\n')
            self.until_stalled()
            for _ in range(20):
                self.assertEqual(self.line()["mapped_bytes"], self.files["one"].size_bytes)
            self.assertEqual(self.model_status("one")["state"], "ready")
            self.assertEqual(self.ask("/ready").status, 200)
            self.assertNotIn("restarting", self.told("one"))
            self.origin.clear(self.PATH)
            self.assertEqual(waiting.answer("w")["state"], "ready")
            self.assertEqual(reloading.told(waiting.events, "one")[-1], "ready")
        self.client.until_status("ready", model="one")
        self.assertEqual(self.told("one"),
                         ["restarting:checking_local", "restarting:download", "restarting:verify", *reloading.AGAIN])
        self.assertEqual(self.line()["mapped_bytes"], self.new.size_bytes)
        self.assertEqual(self.model_status("one")["sha256"], self.new.sha256)
        self.assertEqual((self.told("two"), self.untouched("two")), ([], before))
        story.check_sequence(self.client.events)
        self.stop(self.daemon)

    def test_bytes_that_are_wrong_change_nothing_and_the_next_reload_tries_again(self):
        self.serve()
        before = self.untouched("one")
        self.origin.fault(self.PATH, flip_at=self.new.size_bytes // 2)
        self.change()
        answer = self.client.ask("reload", model="one", wait=True)
        self.assertEqual((answer["type"], answer["code"]), ("error", "sha256_mismatch"), answer)
        self.assertEqual(self.told("one")[-2:], ["warning:reload_failed", "ready"])
        self.assertEqual(self.untouched("one"), before)
        self.assertEqual(self.line()["mapped_bytes"], self.files["one"].size_bytes)
        self.assertEqual(self.ask("/health").json()["availability"]["code"], 300)
        self.origin.clear(self.PATH)
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.line()["mapped_bytes"], self.new.size_bytes)
        self.assertEqual(self.ask("/health").json()["availability"]["code"], 200)
        self.stop(self.daemon)

    def test_taken_back_while_they_come(self):
        self.serve()
        before = self.untouched("one")
        self.origin.fault(self.PATH, stall_at=self.new.size_bytes // 2)
        self.change()
        self.reload()
        self.until_stalled()
        self.entries[0] = self.entry("one")
        self.write()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.told("one")[-1], "ready")
        self.assertEqual(story.warnings(self.client.events), [])
        self.assertEqual(self.untouched("one"), before)
        self.stop(self.daemon)

    def test_unloaded_while_they_come(self):
        self.serve()
        self.origin.fault(self.PATH, stall_at=self.new.size_bytes // 2)
        self.change()
        self.reload()
        self.until_stalled()
        self.assertEqual(self.client.ask("unload", model="one", wait=True)["state"], "uninitialized")
        self.origin.clear(self.PATH)
        self.assertEqual(self.client.ask("load", model="one", wait=True)["state"], "ready")
        self.assertEqual(self.line()["mapped_bytes"], self.new.size_bytes)
        self.stop(self.daemon)

    def test_a_stop_while_they_come(self):
        self.serve()
        self.origin.fault(self.PATH, stall_at=self.new.size_bytes // 2)
        self.change()
        self.reload()
        self.until_stalled()
        self.stop(self.daemon)

    def test_a_load_that_is_under_way_begins_again(self):
        self.origin.fault(self.PATH, stall_at=self.new.size_bytes // 2)
        self.entries = [self.entry("one", load="manual") |
                        {"source": self.origin.url("three.gguf"), "sha256": self.new.sha256}]
        self.daemon = self.start(self.config())
        self.client = self.connect(self.daemon)
        self.client.send(b'{"id":"l","type":"load","wait":true}\n')
        self.origin.wait_until_stalled(self.PATH)
        self.entries = [self.entry("one")]
        self.write()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.client.answer("l")["state"], "ready")
        self.assertEqual(self.line()["mapped_bytes"], self.files["one"].size_bytes)
        self.assertEqual(self.model_status("one")["load_count"], 1)
        self.assertNotIn("unloaded", self.told("one"))
        self.stop(self.daemon)

    def test_an_error_is_loaded_again_once_its_source_is_right(self):
        self.entries[0]["source"] = str(self.folder / "missing.gguf")
        self.serve()
        self.assertEqual(self.model_status("one")["state"], "error")
        self.change()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.line()["mapped_bytes"], self.new.size_bytes)
        self.stop(self.daemon)


if __name__ == "__main__":
    unittest.main()
