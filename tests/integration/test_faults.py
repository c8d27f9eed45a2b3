"""What goes wrong on the way to the bytes, and the code that each of it ends in."""

import pathlib
import subprocess
import unittest

import ggufd
import nginx
import origin as origins
import story
import tls
from origin import Origin


class HttpFaults(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()
        self.origin = self.enterContext(Origin(self.web))
        self.source = self.origin.url("model.gguf")

    def outcome(self, source=None, **more):
        daemon, client, outcome = self.bring_up(self.config_for(source or self.source, self.file, **more))
        story.check_all(client.events, "tiny")
        if outcome["status"] == "error":
            self.assertFalse(self.blob(self.file).exists())
            self.assertFalse((self.runtime_dir / "infer.sock").exists())
            self.assertEqual(client.ask("ping")["type"], "response", "an error stops one model, not the daemon")
        self.stop(daemon)
        return outcome

    def test_refusals_are_http_status(self):
        for status in (403, 404, 500, 503):
            with self.subTest(status=status):
                self.origin.fault("/model.gguf", status=status)
                outcome = self.outcome()
                self.assert_error(outcome, "http_status")
                self.assertIn(str(status), outcome["message"])

    def test_a_refused_connection_is_network(self):
        outcome = self.outcome(f"http://127.0.0.1:{origins.refused_port()}/model.gguf")
        self.assert_error(outcome, "network")

    def test_a_redirect_loop_ends(self):
        self.origin.fault("/model.gguf", redirect="/model.gguf")
        self.assert_error(self.outcome(), "network", "http_status")

    def test_a_body_that_is_always_cut_is_an_error(self):
        self.origin.fault("/model.gguf", cut_at=1000, ignore_range=True)
        self.assert_error(self.outcome(), "network", "size_mismatch")

    def test_a_length_that_is_too_long_is_an_error(self):
        self.origin.fault("/model.gguf", content_length_off_by=4096, ignore_range=True)
        self.assert_error(self.outcome(), "network", "size_mismatch")

    def test_a_size_that_differs_from_the_configured_one(self):
        self.assert_error(self.outcome(size_bytes=self.file.size_bytes + 1), "size_mismatch")

    def test_a_page_of_html_is_a_mismatch(self):
        self.origin.fault("/model.gguf", html=True)
        self.assert_error(self.outcome(), "sha256_mismatch")

    def test_a_compressed_body_never_becomes_the_model(self):
        self.origin.fault("/model.gguf", gzip=True)
        outcome = self.outcome()
        if outcome["status"] == "error":
            self.assert_error(outcome, "sha256_mismatch", "size_mismatch", "network", "http_status")
        else:
            self.assertEqual(self.blob(self.file).read_bytes(), self.file.path.read_bytes())

    def test_a_bad_gguf_with_the_right_digest(self):
        (self.web / "bad.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 16)
        self.file = ggufd.model_file(self.web / "bad.gguf")
        daemon, _, outcome = self.bring_up(self.config_for(self.origin.url("bad.gguf"), self.file))
        self.assert_error(outcome, "invalid_gguf", "unsupported_gguf")
        self.assertEqual(self.quarantined(), [], "the digest was right")
        self.stop(daemon)

    def test_a_truncated_gguf_with_the_right_digest(self):
        (self.web / "short.gguf").write_bytes(self.file.path.read_bytes()[:-1000])
        self.file = ggufd.model_file(self.web / "short.gguf")
        daemon, _, outcome = self.bring_up(self.config_for(self.origin.url("short.gguf"), self.file))
        self.assert_error(outcome, "invalid_gguf")
        self.stop(daemon)


class Tls(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()
        self.certificate = tls.make_certificate(self.folder / "tls")

    def https_origin(self):
        return Origin(self.web, tls=(self.certificate.chain_file, self.certificate.key_file))

    def test_an_unknown_authority_is_not_trusted(self):
        with self.https_origin() as origin:
            daemon, _, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), self.file))
            self.assert_error(outcome, "tls")
            self.stop(daemon)

    def test_ca_file_makes_it_trusted(self):
        with self.https_origin() as origin:
            config = self.config_for(origin.url("model.gguf"), self.file, fetch={"ca_file": str(self.certificate.ca_file)})
            daemon, _, outcome = self.bring_up(config)
            self.assert_ready(outcome, daemon)
            self.stop(daemon)

    def test_a_certificate_for_another_name_is_not_trusted(self):
        self.certificate = tls.make_certificate(self.folder / "other", names=("DNS:elsewhere.example",))
        with self.https_origin() as origin:
            config = self.config_for(origin.url("model.gguf"), self.file, fetch={"ca_file": str(self.certificate.ca_file)})
            daemon, _, outcome = self.bring_up(config)
            self.assert_error(outcome, "tls")
            self.stop(daemon)

    @unittest.skipUnless(nginx.find(), "nginx is not here")
    def test_nginx_with_ca_file(self):
        with nginx.Nginx(self.web, with_tls=True) as server:
            config = self.config_for(server.url("model.gguf"), self.file, fetch={"ca_file": str(server.ca_file)})
            daemon, client, outcome = self.bring_up(config)
            self.assert_ready(outcome, daemon)
            story.check_all(client.events, "tiny")
            self.stop(daemon)


class DiskFull(ggufd.DaemonTest):
    def test_a_full_disk_is_disk_full(self):
        file = self.model(size_mb=16)
        self.store.mkdir(mode=0o700)
        # The small file system exists in the daemon's own mount namespace only, so that nothing is left behind.
        script = 'mount -t tmpfs -o size=4m,mode=0700 none "$0" && exec "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script, str(self.store)]
        if not pathlib.Path("/proc/self/ns/mnt").exists() or not self.can_mount():
            self.skipTest("a tmpfs needs root and a mount namespace")
        with Origin(self.web) as origin:
            daemon, client, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), file), prefix=prefix)
            self.assert_error(outcome, "disk_full")
            self.assertEqual(client.ask("ping")["type"], "response")
            self.stop(daemon)

    def can_mount(self):
        probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(self.store)]
        try:
            return subprocess.run(probe, capture_output=True, check=False, timeout=10).returncode == 0
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
