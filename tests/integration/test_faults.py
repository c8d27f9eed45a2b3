"""What goes wrong on the way to the bytes, and the code that each of it ends in."""

import contextlib
import pathlib
import shutil
import subprocess
import unittest

import fetching
import ggufd
import nginx
import origin as origins
import story
import tls
from fetching import PATH
from origin import Origin

# Some of it is in buffers of the kernel when the daemon has had enough.
ENDLESS_BYTES_MAX = 256_000_000
# So that a daemon that never has enough fails the test before it fills the disk.
ENDLESS_BYTES_PER_SECOND = 64_000_000


class HttpFaults(fetching.FetchTest):
    """Faults that last. test_retries, test_resume and test_repair have those that pass."""

    def no_model(self, codes, config=None):
        """It ends in one of `codes`, whatever was retried or begun anew on the way."""
        return self.ends_in(codes, config or self.config(fetch={"retries": 1}))[1]

    def test_refusals_are_http_status(self):
        for status in (403, 404, 500, 503):
            with self.subTest(status=status):
                self.origin.fault(PATH, status=status)
                self.assertIn(str(status), self.no_model("http_status")["message"])

    def test_redirect_loops_end(self):
        self.origin.fault(PATH, redirect=PATH)
        self.no_model(("network", "http_status"))
        self.origin.fault(PATH, redirect="/there")
        self.origin.fault("/there", redirect=PATH)
        self.no_model(("network", "http_status"))
        self.assertLess(len(self.origin.requests()), 300)

    def test_a_redirect_to_nowhere(self):
        self.origin.fault(PATH, redirect=f"http://127.0.0.1:{origins.refused_port()}/model.gguf")
        self.no_model("network")

    def test_a_redirect_to_something_that_is_not_http(self):
        for target in ("file:///etc/passwd", "ftp://127.0.0.1/model.gguf"):
            with self.subTest(target):
                self.origin.fault(PATH, redirect=target)
                self.no_model(("network", "http_status", "bad_source"))

    def test_a_body_that_is_always_cut(self):
        for end in ("cut_at", "close_at"):
            for ignore_range in (False, True):
                with self.subTest(end, ignore_range=ignore_range):
                    self.origin.fault(PATH, **{end: 1000}, ignore_range=ignore_range)
                    self.no_model(("network", "size_mismatch"))

    def test_a_length_that_is_too_long(self):
        for ignore_range in (False, True):
            with self.subTest(ignore_range=ignore_range):
                self.origin.fault(PATH, content_length_off_by=4096, ignore_range=ignore_range)
                self.no_model(("network", "size_mismatch"))

    def test_a_length_that_is_too_short(self):
        for ignore_range in (False, True):
            with self.subTest(ignore_range=ignore_range):
                self.origin.fault(PATH, content_length_off_by=-4096, ignore_range=ignore_range)
                self.no_model(("network", "size_mismatch", "sha256_mismatch", "invalid_gguf"))

    def test_a_size_that_differs_from_the_configured_one(self):
        for difference in (-1, 1):
            with self.subTest(difference=difference):
                self.no_model("size_mismatch", self.config(size_bytes=self.file.size_bytes + difference))

    def test_a_page_of_html_is_a_mismatch(self):
        self.origin.fault(PATH, html=True)
        self.no_model("sha256_mismatch")

    def test_bodies_without_an_end(self):
        self.origin.throttle(PATH, ENDLESS_BYTES_PER_SECOND)
        for kind in ("noise", "gguf"):
            for config in (self.config(), self.config_without_digest(), self.config(size_bytes=self.file.size_bytes)):
                with self.subTest(kind):
                    self.origin.forget_requests()
                    self.origin.fault(PATH, endless=kind)
                    self.no_model(("size_mismatch", "sha256_mismatch", "invalid_gguf"), config)
                    self.assertLess(self.origin.sent_bytes(), ENDLESS_BYTES_MAX)

    def test_a_compressed_body_never_becomes_the_model(self):
        self.origin.fault(PATH, gzip=True)
        daemon, client, outcome = self.bring_up(self.config())
        story.check_all(client.events, "tiny")
        if outcome["status"] == "error":
            self.assert_error(outcome, "sha256_mismatch", "size_mismatch", "network", "http_status", "invalid_gguf")
            self.assertFalse(self.blob(self.file).exists())
        else:
            self.assert_stored(self.file)
        self.stop(daemon)

    def test_odd_but_honest_sources_end_well(self):
        ways = {"no length, no ranges": {"chunked": True}, "no ranges": {"ignore_range": True},
                "no validators": {"no_validators": True}, "a weak ETag": {"etag": 'W/"weak"'}}
        for name, fault in ways.items():
            with self.subTest(name):
                self.origin.fault(PATH, **fault)
                client = self.ends_well()
                self.assertEqual(story.warnings(client.events), [])
                shutil.rmtree(self.store)

    def test_an_empty_file(self):
        (self.web / "empty.gguf").write_bytes(b"")
        empty = ggufd.model_file(self.web / "empty.gguf")
        daemon, _, outcome = self.bring_up(self.config(self.origin.url("empty.gguf"), empty))
        self.assert_error(outcome, "invalid_gguf", "size_mismatch", "http_status")
        self.stop(daemon)

    def test_a_bad_gguf_with_the_right_digest(self):
        bad = {"bad.gguf": b"GGUF" + bytes(range(256)) * 16, "short.gguf": self.file.path.read_bytes()[:-1000]}
        for name, data in bad.items():
            with self.subTest(name):
                (self.web / name).write_bytes(data)
                file = ggufd.model_file(self.web / name)
                daemon, _, outcome = self.bring_up(self.config(self.origin.url(name), file))
                self.assert_error(outcome, "invalid_gguf", "unsupported_gguf")
                self.assertEqual(self.quarantined(), [], "the digest was right")
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


class DiskFull(fetching.FetchTest):
    """The store is a small tmpfs in the daemon's own mount namespace, so that nothing is left behind."""

    size_mb = 16

    def setUp(self):
        super().setUp()
        self.store.mkdir(mode=0o700)
        probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(self.store)]
        try:
            can_mount = subprocess.run(probe, capture_output=True, check=False, timeout=10).returncode == 0
        except OSError:
            can_mount = False
        if not can_mount:
            self.skipTest("a tmpfs needs root and a mount namespace")

    def start_on(self, megabytes, config=None):
        """A daemon whose store has so many megabytes; (daemon, client)."""
        script = f'mount -t tmpfs -o size={megabytes}m,mode=0700 none "$0" && exec "$@"'
        daemon = self.start(config or self.config(), prefix=["unshare", "--mount", "sh", "-c", script, str(self.store)])
        return daemon, self.connect(daemon)

    def in_its_eyes(self, daemon, path):
        """`path` as the daemon sees it."""
        return pathlib.Path(f"/proc/{daemon.process.pid}/root{path}")

    def give_room(self, daemon, megabytes):
        enter = ["nsenter", f"--mount=/proc/{daemon.process.pid}/ns/mnt"]
        subprocess.run([*enter, "mount", "-o", f"remount,size={megabytes}m", str(self.store)], check=True, timeout=10)

    def loads_now(self, daemon, client):
        self.assertEqual(client.ask("load", wait=True).get("state"), "ready", daemon.stderr())
        stored = self.in_its_eyes(daemon, self.blob(self.file))
        self.assertEqual(stored.read_bytes(), self.file.path.read_bytes())
        self.stop(daemon)

    def test_it_is_known_before_anything_is_fetched(self):
        daemon, client = self.start_on(4)
        outcome = client.until_outcome()
        self.assert_error(outcome, "disk_full")
        self.assertIn(str(self.store), outcome["message"], "it names the place")
        self.assertGreaterEqual(sum(word[0].isdigit() for word in outcome["message"].split()), 2, "need and have")
        self.assertEqual(client.ask("ping")["type"], "response")
        self.give_room(daemon, 64)
        self.loads_now(daemon, client)

    def test_a_body_of_unknown_length_fills_it(self):
        self.origin.fault(PATH, chunked=True)
        daemon, client = self.start_on(8)
        self.assert_error(client.until_outcome(), "disk_full")
        self.give_room(daemon, 64)
        self.loads_now(daemon, client)

    def test_somebody_else_fills_it_meanwhile(self):
        """Either the space was set aside before, or the partial is kept and goes on when there is room."""
        self.origin.fault(PATH, stall_at=8_000_000)
        daemon, client = self.start_on(40)
        client.until(lambda event: event.get("downloaded_bytes", 0) >= 4_000_000)
        self.origin.wait_until_stalled(PATH)
        filler = self.in_its_eyes(daemon, self.store / "filler")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as opened:
            while opened.write(bytes(1 << 16)):
                pass
        self.origin.clear(PATH)
        outcome = client.until_outcome()
        if outcome["status"] == "error":
            self.assert_error(outcome, "disk_full")
            filler.unlink()
            self.origin.forget_requests()
            self.loads_now(daemon, client)
            self.assertLess(fetching.size(fetching.asked_ranges(self.origin.requests(PATH))), self.file.size_bytes)
        else:
            self.stop(daemon)

    def test_two_downloads_do_not_count_on_the_same_room(self):
        self.model("other.gguf", size_mb=self.size_mb, seed=2)
        for path in (PATH, "/other.gguf"):
            self.origin.throttle(path, 8_000_000)
        config = self.config_without_digest()
        first = config["models"][0]
        config["models"] = [first | {"name": name, "source": self.origin.url(file)}
                            for name, file in (("one", "model.gguf"), ("two", "other.gguf"))]
        daemon, client = self.start_on(26, config)
        outcomes = [client.until_outcome() for _ in range(2)]
        self.assertEqual(sorted(outcome["status"] for outcome in outcomes), ["error", "ready"], outcomes)
        self.assert_error(next(outcome for outcome in outcomes if outcome["status"] == "error"), "disk_full")
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
