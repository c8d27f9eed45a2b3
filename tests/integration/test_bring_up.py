"""From a source to ready: the phases in their order, and what is promised about their events."""

import stat
import unittest

import ggufd
import nginx
import story
from origin import Origin

FETCHED = ["checking_local", "download", "verify", "mmap", "kv_cache", "capabilities", "ready"]


class FromHttp(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=8)

    def test_an_origin_with_ranges(self):
        with Origin(self.web) as origin:
            daemon, client, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), self.file))
            self.assert_ready(outcome, daemon)
            self.assert_steps(client, FETCHED)
            story.check_all(client.events, "tiny")
            self.stop(daemon)

    def test_an_origin_without_length_or_ranges(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", chunked=True)
            daemon, client, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), self.file))
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            self.stop(daemon)

    def test_an_origin_that_ignores_ranges(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", ignore_range=True)
            daemon, client, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), self.file))
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            self.stop(daemon)

    def test_a_redirect_to_another_host(self):
        with Origin(self.web) as origin, Origin(self.web, host="127.0.0.2") as other:
            origin.fault("/model.gguf", redirect=other.url("model.gguf"))
            daemon, client, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), self.file))
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            self.assertTrue(other.requests("/model.gguf"))
            self.stop(daemon)

    @unittest.skipUnless(nginx.find(), "nginx is not here")
    def test_nginx(self):
        with nginx.Nginx(self.web) as server:
            daemon, client, outcome = self.bring_up(self.config_for(server.url("model.gguf"), self.file))
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            server.wait_for_request("/model.gguf")
            self.stop(daemon)

    def test_progress_is_told_at_most_ten_times_a_second(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", throttle_bytes_per_second=self.file.size_bytes // 3)
            config = self.config_for(origin.url("model.gguf"), self.file, fetch={"connections": 1})
            daemon, client, outcome = self.bring_up(config)
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            # Three seconds of download: enough to be over the limit, were there none, and to be moving at all.
            self.assertGreater(story.check_rate(client.events), 5)
            self.stop(daemon)

    def test_a_download_tells_what_is_known(self):
        with Origin(self.web) as origin:
            source = origin.url("model.gguf") + "?token=secret"
            daemon, client, outcome = self.bring_up(self.config_for(source, self.file))
            self.assert_ready(outcome, daemon)
            downloads = self.phases_of(client, "download")
            self.assertEqual(downloads[-1]["total_bytes"], self.file.size_bytes)
            self.assertEqual({event["source_url"] for event in downloads}, {origin.url("model.gguf")})
            self.assertNotIn("secret", b"".join(client.lines).decode())
            self.assertNotIn("secret", daemon.stderr())
            self.stop(daemon)


class WhatReadyLeaves(ggufd.DaemonTest):
    def test_the_details_of_ready_and_of_the_phases_before(self):
        file = self.model()
        with Origin(self.web) as origin:
            config = self.config_for(origin.url("model.gguf"), file, n_ctx=512)
            daemon, client, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        mapped = self.phases_of(client, "mmap")[-1]
        self.assertEqual((mapped["path"], mapped["total_bytes"]), (str(self.blob(file)), file.size_bytes))
        self.assertIn(mapped["integrity"], ("hashed", "kernel-enforced"))
        kv_cache = self.phases_of(client, "kv_cache")[-1]
        self.assertEqual((kv_cache["n_ctx"], kv_cache["kv_type_k"], kv_cache["kv_type_v"]), (512, "f16", "f16"))
        self.assertGreater(kv_cache["bytes"], 0)
        capabilities = [event for event in client.events if event["status"] == "capabilities"]
        self.assertEqual(len(capabilities), 1)
        self.assertEqual((capabilities[0]["backend"], capabilities[0]["accelerator"]), ("resident", "cpu"))
        self.assertEqual((capabilities[0]["wire_version"], capabilities[0]["n_ctx"]), (1, 512))
        self.assertIn(outcome["infer_socket"], [str(self.runtime_dir / name) for name in ("infer.sock", "infer.tiny.sock")])
        self.stop(daemon)

    def test_the_runtime_folder_and_its_sockets_are_private(self):
        file = self.model()
        with Origin(self.web) as origin:
            daemon, _, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), file))
        self.assert_ready(outcome, daemon)
        modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in self.runtime_dir.iterdir()}
        self.assertEqual(stat.S_IMODE(self.runtime_dir.stat().st_mode), 0o700)
        for name in ("ggufd.lock", "admin.sock", "infer.sock", "infer.tiny.sock"):
            self.assertEqual(modes.get(name), 0o600, modes)
        self.assertEqual((self.runtime_dir / "ggufd.lock").read_text().strip(), str(daemon.process.pid))
        self.stop(daemon)


class FromALocalFile(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=32)

    def bring_up_in_place(self, source):
        daemon, client, outcome = self.bring_up(self.config_for(source, self.file))
        self.assert_ready(outcome, daemon)
        story.check_all(client.events, "tiny")
        self.stop(daemon)
        return client

    def test_a_path_and_a_file_url_are_used_in_place(self):
        for source in (self.file.path, f"file://{self.file.path}"):
            with self.subTest(source=source):
                client = self.bring_up_in_place(source)
                self.assertNotIn("download", story.steps(client.events))
                self.assertFalse(self.blob(self.file).exists(), "a local file is never copied")
                self.assertTrue(self.file.path.exists(), "a local file is never moved")

    def test_it_is_hashed_once(self):
        integrity = []
        for _ in range(2):
            client = self.bring_up_in_place(self.file.path)
            mapped = self.phases_of(client, "mmap")
            self.assertEqual({event["path"] for event in mapped}, {str(self.file.path)})
            integrity.append(mapped[-1]["integrity"])
        self.assertNotIn("verify", story.steps(client.events))
        self.assertEqual(integrity[0], "hashed")
        self.assertIn(integrity[1], ("stat-cached", "kernel-enforced"))

    def test_a_wrong_digest_leaves_it_where_it_is(self):
        config = self.config_for(self.file.path, sha256="0" * 64)
        daemon, client, outcome = self.bring_up(config)
        self.assert_error(outcome, "sha256_mismatch")
        self.assertTrue(self.file.path.exists())
        self.assertEqual(self.quarantined(), [])
        story.check_all(client.events, "tiny")
        self.stop(daemon)

    def test_a_missing_file_is_an_error_that_names_it(self):
        missing = self.web / "nowhere.gguf"
        daemon, _, outcome = self.bring_up(self.config_for(missing, self.file))
        self.assertEqual(outcome["status"], "error")
        self.assertIn(str(missing), outcome["message"])
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
