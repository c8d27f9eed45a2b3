"""Starting and stopping: exit codes, left-over and live sockets, signals, inference sockets, and who is let in."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

import ggufd
import story
from origin import Origin

USAGE, INTERNAL, BUSY, UNSAFE, BAD_CONFIG = 64, 70, 75, 77, 78
NOBODY = 65534


class ExitCodes(ggufd.DaemonTest):
    def run_ggufd(self, *arguments):
        return ggufd.run_program("ggufd", *arguments, folder=self.folder)

    def config_file(self, text):
        path = self.folder / "given.json"
        path.write_text(text)
        return path

    def test_help_and_version_are_0(self):
        for option in ("--help", "--version"):
            with self.subTest(option=option):
                code, printed, _ = self.run_ggufd(option)
                self.assertEqual(code, 0)
                self.assertIn("ggufd" if option == "--help" else ".", printed)

    def test_a_wrong_command_line_is_64(self):
        for arguments in (["--no-such-option"], ["--config"], ["surplus"]):
            with self.subTest(arguments=arguments):
                code, _, errors = self.run_ggufd(*arguments)
                self.assertEqual(code, USAGE)
                self.assertTrue(errors.strip())

    def test_check_config_says_good(self):
        path = self.config_file(json.dumps(self.config_for("/models/a.gguf", sha256="0" * 64)))
        code, _, errors = self.run_ggufd("--config", path, "--check-config", "--runtime-dir", self.runtime_dir)
        self.assertEqual(code, 0, errors)
        self.assertFalse((self.runtime_dir / "admin.sock").exists())

    def test_a_bad_configuration_is_78_and_lists_every_mistake(self):
        path = self.config_file('{"models":[{"name":"../x","source":"ftp://a/b","n_seq":"two"}],"evikt":"never"}')
        for arguments in (["--check-config"], []):
            with self.subTest(arguments=arguments):
                code, printed, errors = self.run_ggufd("--config", path, "--runtime-dir", self.runtime_dir, *arguments)
                self.assertEqual(code, BAD_CONFIG)
                for pointer in ("/models/0/name", "/models/0/source", "/models/0/n_seq", "/evikt"):
                    self.assertIn(pointer, printed + errors)
                self.assertIn("evict", printed + errors, "an unknown key suggests the nearest known one")

    def test_a_socket_that_does_not_fit_is_listed_with_all_other_mistakes(self):
        path = self.config_file(json.dumps({"models": [{"name": "n" * 64, "source": "/a"}], "evikt": "never"}))
        code, printed, errors = self.run_ggufd("--config", path, "--runtime-dir", "/" + "r" * 40, "--check-config")
        self.assertEqual(code, BAD_CONFIG)
        for pointer in ("/models/0/name", "/evikt"):
            self.assertIn(pointer, printed + errors)

    def test_a_configuration_that_is_no_json_or_not_there_is_78(self):
        for path in (self.config_file("{"), self.folder / "absent.json"):
            with self.subTest(path=path.name):
                code, _, errors = self.run_ggufd("--config", path, "--runtime-dir", self.runtime_dir)
                self.assertEqual(code, BAD_CONFIG, errors)

    def test_an_unsafe_runtime_folder_is_77(self):
        config = self.config_file('{"models":[]}')
        real, link, open_to_all = self.folder / "real", self.folder / "link", self.folder / "open"
        real.mkdir(mode=0o700)
        link.symlink_to(real)
        open_to_all.mkdir()
        open_to_all.chmod(0o770)
        file = self.folder / "file"
        file.write_text("")
        for place in (link, open_to_all, file):
            with self.subTest(place=place.name):
                code, _, errors = self.run_ggufd("--config", config, "--runtime-dir", place)
                self.assertEqual(code, UNSAFE, errors)
                self.assertIn(str(place), errors)

    @unittest.skipUnless(os.geteuid() == 0, "giving a folder away needs root")
    def test_a_runtime_folder_of_somebody_else_is_77(self):
        place = self.folder / "theirs"
        place.mkdir(mode=0o700)
        os.chown(place, NOBODY, NOBODY)
        code, _, errors = self.run_ggufd("--config", self.config_file('{"models":[]}'), "--runtime-dir", place)
        self.assertEqual(code, UNSAFE, errors)

    def test_a_second_instance_is_75_and_does_not_disturb_the_first(self):
        daemon = self.start({"models": []})
        client = self.connect(daemon)
        code, _, errors = self.run_ggufd("--config", daemon.config_file, "--runtime-dir", self.runtime_dir)
        self.assertEqual(code, BUSY, errors)
        self.assertIn(str(daemon.process.pid), errors)
        self.assertEqual(client.ask("ping")["pid"], daemon.process.pid)
        self.assertEqual(self.connect(daemon).ask("ping")["pid"], daemon.process.pid)
        self.stop(daemon)


class LeftOvers(ggufd.DaemonTest):
    def test_a_killed_daemon_is_followed_by_the_next(self):
        file = self.model()
        config = self.config_for(file.path, file)
        daemon, _, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        daemon.kill()
        self.assertTrue((self.runtime_dir / "admin.sock").exists(), "what kill -9 leaves is what this is about")
        daemon, client, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        self.assertEqual(client.ask("ping")["pid"], daemon.process.pid)
        self.stop(daemon)

    def test_a_live_socket_without_a_lock_is_not_taken_over(self):
        self.runtime_dir.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.runtime_dir / "admin.sock"))
            listener.listen()
            daemon = self.start({"models": []})
            self.assertEqual(daemon.wait(), BUSY, daemon.stderr())
            self.assertTrue((self.runtime_dir / "admin.sock").exists())

    def test_what_is_no_socket_is_not_removed(self):
        self.runtime_dir.mkdir(mode=0o700)
        precious = self.runtime_dir / "admin.sock"
        precious.write_text("precious")
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())
        self.assertEqual(precious.read_text(), "precious")

    def test_a_lock_that_is_a_link_is_not_followed(self):
        self.runtime_dir.mkdir(mode=0o700)
        target = self.folder / "target"
        target.write_text("precious")
        (self.runtime_dir / "ggufd.lock").symlink_to(target)
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())
        self.assertEqual(target.read_text(), "precious")

    def test_a_lock_that_is_another_file_as_well_is_not_written(self):
        self.runtime_dir.mkdir(mode=0o700)
        lock = self.runtime_dir / "ggufd.lock"
        target = self.folder / "target"
        target.write_text("precious")
        lock.hardlink_to(target)
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())
        self.assertIn(str(lock), daemon.stderr())
        self.assertEqual(target.read_text(), "precious")
        lock.unlink()
        os.mkfifo(lock)
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())

    @unittest.skipUnless(os.geteuid() == 0, "giving a file away needs root")
    def test_a_lock_of_somebody_else_is_not_taken(self):
        self.runtime_dir.mkdir(mode=0o700)
        lock = self.runtime_dir / "ggufd.lock"
        lock.touch()
        os.chown(lock, NOBODY, NOBODY)
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), UNSAFE, daemon.stderr())

    def test_a_lock_that_others_could_read_and_hold_is_ours_alone_again(self):
        self.runtime_dir.mkdir(mode=0o700)
        lock = self.runtime_dir / "ggufd.lock"
        lock.touch()
        lock.chmod(0o666)
        daemon = self.start({"models": []})
        self.connect(daemon)
        self.assertEqual(lock.stat().st_mode & 0o7777, 0o600)
        self.stop(daemon)


class Descriptors(ggufd.DaemonTest):
    """Programs that are started without a standard descriptor."""

    @staticmethod
    def without(redirections):
        return ["sh", "-c", f'exec "$@" {redirections}', "sh"]

    def test_a_daemon_puts_nothing_else_in_their_place(self):
        file = self.model()
        for redirections, missing in (("<&- >&-", (0, 1)), ("2>&-", (2,)), ("<&- >&- 2>&-", (0, 1, 2))):
            with self.subTest(redirections=redirections):
                daemon = self.start(self.config_for(file.path, file), prefix=self.without(redirections))
                client = self.connect(daemon)
                self.assert_ready(client.until_outcome(), daemon)
                self.assertEqual((self.runtime_dir / "ggufd.lock").read_text(), f"{daemon.process.pid}\n")
                for number in missing:
                    self.assertEqual(os.readlink(f"/proc/{daemon.process.pid}/fd/{number}"), "/dev/null")
                client.close()
                self.stop(daemon)

    def test_ggufctl_fails_where_nobody_can_get_its_output(self):
        daemon = self.start({"models": []})
        client = self.connect(daemon)
        for verb in (["status"], ["status", "--json"], ["--help"]):
            with self.subTest(verb=verb):
                command = [str(ggufd.bin_dir() / "ggufctl"), "--runtime-dir", str(self.runtime_dir), *verb]
                done = subprocess.run([*self.without(">&-"), *command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      timeout=ggufd.LIMIT_S, check=False, env=ggufd.environment(self.folder))
                self.assertEqual(done.returncode, 1, done.stderr.decode())
        client.ask("ping")
        self.stop(daemon)
        self.assertNotIn("malformed", daemon.stderr())


class Stopping(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()

    def assert_no_sockets(self):
        self.assertEqual([path.name for path in self.runtime_dir.glob("*.sock")], [])

    def test_a_stop_is_told_and_leaves_nothing(self):
        for which in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=which.name):
                daemon, client, outcome = self.bring_up(self.config_for(self.file.path, self.file))
                self.assert_ready(outcome, daemon)
                before = len(client.events)
                daemon.signal(which)
                after = client.read_to_end()[before:]
                self.assertEqual([event["status"] for event in after], ["draining", "unloading", "unloaded"])
                self.assertEqual({event["reason"] for event in after[1:]}, {"shutdown"})
                story.check_sequence(client.events[before - 1:])
                self.assertEqual(daemon.wait(), 0)
                self.assert_no_sockets()

    def test_a_stop_in_the_middle_of_a_download(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
            config = self.config_for(origin.url("model.gguf"), self.file)
            daemon = self.start(config)
            client = self.connect(daemon)
            origin.wait_until_stalled("/model.gguf")
            daemon.signal(signal.SIGTERM)
            events = client.read_to_end()
            self.assertEqual(daemon.wait(limit_s=20), 0)
            after = events[[event["status"] for event in events].index("draining"):]
            for event in after[1:]:
                self.assertEqual((event["status"] in ("unloading", "unloaded"), event.get("reason")), (True, "shutdown"), after)
            self.assert_no_sockets()
            self.assertFalse(self.blob(self.file).exists())
            origin.clear("/model.gguf")
            self.check_next_start(config)

    def test_a_kill_in_the_middle_of_a_download(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
            config = self.config_for(origin.url("model.gguf"), self.file)
            daemon = self.start(config)
            origin.wait_until_stalled("/model.gguf")
            daemon.kill()
            self.assertFalse(self.blob(self.file).exists())
            origin.clear("/model.gguf")
            self.check_next_start(config)

    def check_next_start(self, config):
        daemon, client, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        story.check_all(client.events, "tiny")
        self.assertEqual(self.blob(self.file).read_bytes(), self.file.path.read_bytes())
        self.stop(daemon)

    def test_a_second_signal_stops_at_once(self):
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=0)
            daemon = self.start(self.config_for(origin.url("model.gguf"), self.file))
            self.connect(daemon).until_phase("download")
            daemon.signal(signal.SIGTERM)
            daemon.signal(signal.SIGTERM)
            daemon.wait(limit_s=20)

    def test_a_signal_at_the_very_end_changes_no_exit_code(self):
        for _ in range(5):
            daemon = self.start({"models": []})
            client = self.connect(daemon)
            client.ask("drain")
            while client.read_frame() is not None:
                pass
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0, daemon.stderr())

    def test_readers_that_do_not_read_delay_no_stop(self):
        daemon, _, outcome = self.bring_up(self.config_for(self.file.path, self.file))
        self.assert_ready(outcome, daemon)
        for _ in range(20):
            self.connect(daemon)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(limit_s=20), 0)


class InferenceSocket(ggufd.DaemonTest):
    def read_all(self, name):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ggufd.LIMIT_S)
            connection.connect(str(self.runtime_dir / name))
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def test_it_exists_only_while_ready_and_says_one_line(self):
        file = self.model()
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
            daemon = self.start(self.config_for(origin.url("model.gguf"), file))
            client = self.connect(daemon)
            origin.wait_until_stalled("/model.gguf")
            self.assertEqual(list(self.runtime_dir.glob("infer*")), [])
            origin.clear("/model.gguf")
            client.until_status("ready")
        for name in ("infer.sock", "infer.tiny.sock"):
            with self.subTest(name=name):
                said = self.read_all(name)
                self.assertTrue(said.endswith(b"\n"))
                self.assertEqual(said.count(b"\n"), 1)
                self.assertIsInstance(json.loads(said), dict)
        daemon.signal(signal.SIGTERM)
        client.until_status("unloaded", "unloading")
        self.assertEqual(list(self.runtime_dir.glob("infer*")), [], "it is gone before the unloading is told")
        self.assertEqual(daemon.wait(), 0)


KNOCK = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(sys.argv[1])
try:
    data = connection.recv(4096)
except ConnectionResetError:
    data = b""
sys.stdout.buffer.write(data)
"""


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "becoming another user needs root and setpriv")
class PeerCredentials(ggufd.DaemonTest):
    def knock(self, daemon):
        """What a process of another user reads, with every file mode in its way lifted."""
        for path, mode in ((self.folder, 0o755), (self.runtime_dir, 0o755), (daemon.admin_socket, 0o666)):
            path.chmod(mode)
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", sys.executable, "-I", "-c",
                   KNOCK, str(daemon.admin_socket)]
        done = subprocess.run(command, capture_output=True, timeout=ggufd.LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_another_user_is_not_served(self):
        daemon = self.start({"models": []})
        client = self.connect(daemon)
        self.assertNotIn(b'"status"', self.knock(daemon))
        self.assertEqual(client.ask("ping")["type"], "response")
        self.stop(daemon)

    def test_a_user_or_group_that_is_allowed_is_served(self):
        for key in ("allow_uids", "allow_gids"):
            with self.subTest(key=key):
                daemon = self.start({"models": [], "admin": {key: [NOBODY]}})
                self.connect(daemon)
                self.assertIn(b'"starting"', self.knock(daemon))
                self.stop(daemon)
                self.runtime_dir.chmod(0o700)


if __name__ == "__main__":
    unittest.main()
