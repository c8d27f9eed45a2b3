"""ggufd under a service manager: what it tells on the notify socket, sockets that it inherits, and the unit files."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

import engine
import ggufd
import service_manager
from origin import Origin

UNSAFE, BAD_CONFIG = 77, 78


class ServiceTest(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.manager = self.manager_at(self.folder / "notify")

    def manager_at(self, address):
        manager = service_manager.NotifySocket(address)
        self.addCleanup(manager.close)
        return manager

    def start_notifying(self, config, **more):
        return self.start(config, NOTIFY_SOCKET=self.manager.address, **more)


class Notify(ServiceTest):
    def test_a_daemon_is_up_once_its_socket_listens_whatever_its_models_do(self):
        file = self.model()
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=0)
            daemon = self.start_notifying(self.config_for(origin.url("model.gguf"), file))
            first = self.manager.read()
            self.assertEqual(first, {"READY": "1", "STATUS": "0 of 1 model ready"})
            ggufd.Client(daemon.admin_socket).close()  # it listens: nothing is waited for
            self.manager.until(lambda message: message.get("STATUS", "").startswith("tiny: download"))
            self.stop(daemon)

    def test_the_status_follows_the_phases(self):
        file = self.model()
        daemon = self.start_notifying(self.config_for(file.path, file))
        self.manager.until(lambda message: message.get("STATUS") == "1 of 1 model ready")
        self.assertEqual(self.manager.messages[0].get("READY"), "1")
        words = [status.removeprefix("tiny: ").split()[0] for status in self.manager.statuses[1:]]
        in_order = ["checking_local", "verify", "mmap", "kv_cache", "1"]
        self.assertEqual([word for word in in_order if word in words], list(dict.fromkeys(words)))
        self.assertIn("mmap", words)
        self.stop(daemon)
        self.manager.drain()
        self.assertEqual(self.manager.messages[-1], {"STOPPING": "1", "STATUS": "draining"})

    def test_progress_is_told_at_most_once_a_second(self):
        file = self.model(size_mb=4)
        with Origin(self.web) as origin:
            config = self.config_for(origin.url("model.gguf"), file, fetch={"bytes_per_second": 1_300_000, "connections": 1})
            began = time.monotonic()
            daemon = self.start_notifying(config)
            self.manager.until(lambda message: message.get("STATUS") == "1 of 1 model ready")
            took_s = time.monotonic() - began
            self.stop(daemon)
        told = [status for status in self.manager.statuses if status.startswith("tiny: download")]
        percents = [int(match[1]) for status in told if (match := re.search(r"(\d+) %$", status))]
        self.assertEqual(percents, sorted(percents))
        self.assertGreaterEqual(len(set(percents)), 2, told)
        self.assertLessEqual(len(told), took_s + 1, "its begin, and one a second")

    def test_a_name_of_the_abstract_namespace_will_do(self):
        self.manager = self.manager_at(f"@ggufd-test-{os.getpid()}")
        daemon = self.start_notifying({"models": []})
        self.assertEqual(self.manager.read(), {"READY": "1", "STATUS": "no model is configured"})
        self.stop(daemon)

    def test_two_models_are_counted_and_an_error_is_named(self):
        file = self.model()
        config = self.config_for(file.path, file)
        config["models"].append({"name": "zero", "source": str(self.folder / "absent.gguf"), "engine": "resident"})
        daemon = self.start_notifying(config)
        message = self.manager.until(lambda message: "1 of 2 models ready" in message.get("STATUS", "") and "error" in message["STATUS"])
        self.assertRegex(message["STATUS"], r"^zero: error \w+, 1 of 2 models ready$")
        self.stop(daemon)

    def test_a_reload_is_told_whoever_asked_for_it(self):
        daemon = self.start_notifying({"models": []})
        client = self.connect(daemon)
        self.manager.until_key("READY")
        for ask in (lambda: daemon.signal(signal.SIGHUP), lambda: client.ask("reload")):
            ask()
            message = self.manager.until_key("RELOADING")
            self.assertGreater(int(message["MONOTONIC_USEC"]), 0)
            self.assertEqual(self.manager.read().get("READY"), "1")
        daemon.config_file.write_text("{")
        self.assertEqual(client.ask("reload")["code"], "bad_config")
        self.manager.until_key("RELOADING")
        self.assertEqual(self.manager.read().get("READY"), "1", "a bad file changes nothing: the daemon is as ready as before")
        self.stop(daemon)

    def test_a_failed_start_says_why(self):
        daemon = self.start_notifying('{"models": [], "evikt": "never"}')
        self.assertEqual(daemon.wait(), BAD_CONFIG)
        message = self.manager.read()
        self.assertIn("/evikt", message["STATUS"])
        self.assertGreater(int(message["ERRNO"]), 0)
        first = self.start({"models": []})
        self.connect(first)
        second = self.start_notifying({"models": []})
        self.assertEqual(second.wait(), 75)
        self.assertIn(str(first.process.pid), self.manager.read()["STATUS"])
        self.stop(first)


class Watchdog(ServiceTest):
    def test_it_is_fed_by_a_loop_that_turns_and_by_no_other(self):
        daemon = self.start_notifying({"models": []}, WATCHDOG_USEC=400_000)
        for _ in range(3):
            self.manager.until_key("WATCHDOG")
        daemon.signal(signal.SIGSTOP)
        self.wait_until_stopped(daemon)
        self.manager.drain()
        self.assertIsNone(self.manager.read(limit_s=1), "a process that does not run tells nothing")
        daemon.signal(signal.SIGCONT)
        self.manager.until_key("WATCHDOG")
        self.stop(daemon)

    def wait_until_stopped(self, daemon):
        pid, status = os.waitpid(daemon.process.pid, os.WUNTRACED)
        self.assertEqual((pid, os.WIFSTOPPED(status)), (daemon.process.pid, True))

    def test_one_for_another_process_is_not(self):
        daemon = self.start_notifying({"models": []}, WATCHDOG_USEC=10_000, WATCHDOG_PID=1)
        self.manager.until_key("READY")
        self.assertIsNone(self.manager.read(limit_s=0.5))
        self.stop(daemon)


class Activation(ServiceTest):
    def start_with(self, *sockets, names="", config=None, **more):
        return self.start(config or {"models": []}, prefix=service_manager.hand_over(*sockets), LISTEN_FDS=len(sockets),
                          LISTEN_FDNAMES=names, NOTIFY_SOCKET=self.manager.address,
                          pass_fds=[each.fileno() for each in sockets], **more)

    def bound(self, path, **options):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        bound = service_manager.listening(path, **options)
        self.addCleanup(bound.close)
        return bound

    def test_a_socket_at_our_path_is_taken_over_with_who_waits_in_it_and_stays(self):
        path = self.runtime_dir / "admin.sock"
        bound = self.bound(path)
        inode = path.stat().st_ino
        early = ggufd.Client(path)
        self.addCleanup(early.close)
        daemon = self.start_with(bound, names="ggufd.socket")
        self.assertEqual(early.read_frame()["status"], "starting")
        self.assertEqual(early.ask("ping")["pid"], daemon.process.pid)
        self.stop(daemon)
        self.assertEqual(path.stat().st_ino, inode, "it is the service manager's")
        # The next client is the next daemon's.
        waiting = ggufd.Client(path)
        self.addCleanup(waiting.close)
        daemon = self.start_with(bound, names="ggufd.socket")
        self.assertEqual(waiting.ask("ping")["pid"], daemon.process.pid)
        self.stop(daemon)

    def test_a_stop_at_once_leaves_the_socket_as_well(self):
        bound = self.bound(self.runtime_dir / "admin.sock")
        file = self.model()
        daemon = self.start_with(bound, config=self.with_engine(file, stop_grace_s=60), GGML_FAKE_MOOD="ignore_sigterm")
        client = self.connect(daemon)
        self.assert_ready(client.until_outcome(), daemon)
        daemon.signal(signal.SIGTERM)
        client.until_status("draining")
        deadline = time.monotonic() + ggufd.LIMIT_S
        while daemon.process.poll() is None and time.monotonic() < deadline:  # two that come close together are one wish
            daemon.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(0.1)
        self.assertEqual(daemon.wait(1), 0)
        self.assertTrue(daemon.admin_socket.is_socket())

    def with_engine(self, file, **settings):
        config = self.config_for(file.path, file, engine="llama-server", n_ctx=512)
        config["llama_server"] = {"binary": str(engine.FAKE), "health_interval_ms": 20, **settings}
        return config

    def test_a_socket_of_our_name_may_be_anywhere(self):
        elsewhere = self.folder / "elsewhere.sock"
        daemon = self.start_with(self.bound(elsewhere), names="admin.sock")
        self.manager.until_key("READY")
        with ggufd.Client(elsewhere) as client:
            self.assertEqual(client.ask("ping")["pid"], daemon.process.pid)
        self.assertFalse(daemon.admin_socket.exists())
        self.stop(daemon)

    def test_a_socket_that_nobody_knows_is_closed_and_named(self):
        unknown = self.bound(self.folder / "unknown.sock")
        daemon = self.start_with(unknown, names="other")
        self.connect(daemon)
        self.stop(daemon)
        self.assertIn("unknown.sock", daemon.stderr())

    def test_what_is_no_listening_stream_socket_is_refused(self):
        for name, options in (("datagram", {"kind": socket.SOCK_DGRAM, "listens": False}), ("silent", {"listens": False})):
            with self.subTest(name):
                daemon = self.start_with(self.bound(self.folder / f"{name}.sock", **options), names="admin.sock")
                self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())
                self.assertIn("admin.sock", daemon.stderr())
                self.assertIn("ListenStream", self.manager.read()["STATUS"])

    def test_engines_inherit_nothing_of_it(self):
        file = self.model()
        config = self.with_engine(file)
        bound = self.bound(self.runtime_dir / "admin.sock")
        inode = f"socket:[{os.fstat(bound.fileno()).st_ino}]"
        daemon = self.start_with(bound, config=config, WATCHDOG_USEC=10_000_000)
        client = self.connect(daemon)
        self.assert_ready(client.until_outcome(), daemon)
        pid = client.ask("status")["models"][0]["engine"]["pid"]
        variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        names = {variable.partition(b"=")[0].decode() for variable in variables}
        self.assertIn("PATH", names)
        self.assertEqual(names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}, set())
        held = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        self.assertNotIn(inode, held)
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
