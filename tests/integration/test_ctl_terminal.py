"""ggufctl on a terminal, in a pipe, and interrupted: each ends as a person expects."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import unittest

import ggufd
import process
from origin import Origin
from terminal import OnTerminal

DONE, FAILED, NO_DAEMON = 0, 1, 3
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class CtlTest(ggufd.DaemonTest):
    def on_terminal(self, *arguments, **options):
        program = OnTerminal(ggufd.bin_dir() / "ggufctl", "--runtime-dir", self.runtime_dir, *arguments, folder=self.folder, **options)
        self.addCleanup(program.close)
        return program

    def piped(self, *arguments):
        command = [str(ggufd.bin_dir() / "ggufctl"), *map(str, arguments)]
        child = subprocess.Popen(process.tied_to_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=ggufd.environment(self.folder))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.addCleanup(process.end, child)
        return child

    def ready_daemon(self):
        file = self.model()
        daemon, _, outcome = self.bring_up(self.config_for(file.path, file))
        self.assert_ready(outcome, daemon)
        return daemon

    def stalled_daemon(self):
        """A daemon in the middle of a download, and the origin that can let it go on."""
        file = self.model()
        origin = self.enterContext(Origin(self.web))
        origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
        daemon = self.start(self.config_for(origin.url("model.gguf"), file))
        origin.wait_until_stalled("/model.gguf")
        return daemon, origin


class Interrupted(CtlTest):
    def test_ctrl_c_in_watch_gives_the_cursor_back_and_leaves_the_picture(self):
        daemon, _ = self.stalled_daemon()
        watch = self.on_terminal("watch")
        watch.read_until("%")
        watch.press_ctrl_c()
        self.assertEqual(watch.wait(), -signal.SIGINT)
        screen = watch.screen()
        self.assertFalse(screen.cursor_is_hidden)
        self.assertIn("tiny  download  ▕", screen.text())
        self.stop(daemon)

    def test_ctrl_c_in_load_and_pull_says_what_goes_on_and_how_to_end_it(self):
        daemon, origin = self.stalled_daemon()
        for verb in ("load", "pull"):
            with self.subTest(verb=verb):
                asker = self.on_terminal(verb, "tiny", columns=200)
                asker.read_until("download")
                asker.press_ctrl_c()
                self.assertEqual(asker.wait(), -signal.SIGINT)
                screen = asker.screen()
                self.assertFalse(screen.cursor_is_hidden)
                self.assertIn(f"ggufctl: the daemon goes on with the {verb} of tiny; to end it: "
                              f"ggufctl --runtime-dir {self.runtime_dir} cancel tiny", screen.text())
        origin.clear("/model.gguf")
        with daemon.connect() as client:
            client.until_status("ready")
        self.stop(daemon)

    def test_the_pull_of_a_source_shows_its_progress_and_is_cancelled_by_its_name(self):
        daemon, origin = self.stalled_daemon()
        self.model("other.gguf", seed=2)
        source = origin.url("other.gguf")
        origin.fault("/other.gguf", stall_at=1 << 20)
        pull = self.on_terminal("pull", "--source", source, "--name", "copy", columns=200)
        pull.read_until("download")
        code, _, errors = ggufd.run_program(
            "ggufctl", "--socket", daemon.admin_socket, "cancel", "copy", folder=self.folder)
        self.assertEqual(code, DONE, errors)
        self.assertEqual(pull.wait(), FAILED)
        self.assertIn("the download was cancelled", pull.screen().text())
        self.stop(daemon)

    def test_without_a_terminal_it_is_said_as_well(self):
        daemon, _ = self.stalled_daemon()
        pull = self.piped("--socket", daemon.admin_socket, "pull", "tiny")
        self.assertIn(b"download", pull.stdout.readline())
        pull.send_signal(signal.SIGINT)
        self.assertEqual(pull.wait(ggufd.LIMIT_S), -signal.SIGINT)
        self.assertIn(f"ggufctl --socket {daemon.admin_socket} cancel tiny", pull.stderr.read().decode())
        code, _, errors = ggufd.run_program("ggufctl", "--socket", daemon.admin_socket, "cancel", "tiny", folder=self.folder)
        self.assertEqual(code, DONE, errors)
        self.stop(daemon)


class Picture(CtlTest):
    def test_it_ends_with_the_times_of_the_phases(self):
        daemon, origin = self.stalled_daemon()
        watch = self.on_terminal("watch", columns=200)
        watch.read_until("download")
        origin.clear("/model.gguf")
        watch.read_until("ready")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(watch.wait(), DONE)
        screen = watch.screen()
        self.assertRegex(screen.text(), r"tiny ready in [0-9.]+ m?s: download over [0-9.]+ m?s, verify [0-9.]+ m?s, mmap ")
        self.assertIn("ggufd  draining", screen.text())
        self.assertEqual(screen.text().count("tiny  "), 1, "one line a model, redrawn in place")
        self.assertEqual(daemon.wait(), 0)

    def test_load_and_import_show_theirs(self):
        file = self.model()
        daemon = self.start(self.config_for(file.path, file, load="manual"))
        daemon.connect().close()
        load = self.on_terminal("load", columns=200)
        self.assertEqual(load.wait(), DONE)
        self.assertRegex(load.screen().text(), r"tiny ready in [0-9.]+ m?s: checking_local ")
        self.assertFalse(load.screen().cursor_is_hidden)
        self.stop(daemon)
        load = self.on_terminal("--store", self.store, "import", file.path, "--name", "copy", columns=200)
        self.assertEqual(load.wait(), DONE)
        self.assertRegex(load.screen().text(), r"copy: \d\.\d MiB, imported in [0-9.]+ m?s, /")

    def test_twenty_columns_are_enough(self):
        daemon, origin = self.stalled_daemon()
        watch = self.on_terminal("watch", columns=20)
        watch.read_until("%")
        origin.clear("/model.gguf")
        watch.read_until("ready")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(watch.wait(), DONE)
        self.assertEqual(watch.screen().wrapped, 0, watch.screen().text())
        self.assertIn("tiny", watch.screen().text())
        self.assertEqual(daemon.wait(), 0)

    def test_a_new_size_is_drawn_for(self):
        daemon, _ = self.stalled_daemon()
        watch = self.on_terminal("watch", columns=100)
        watch.read_until("from http")
        watch.resize(30)
        narrow = watch.read_until_picture(lambda picture: "%" in picture and "from http" not in picture)
        self.assertIn("tiny", narrow)
        watch.press_ctrl_c()
        watch.wait()
        self.stop(daemon)

    def test_no_color_takes_the_colours_and_a_dumb_terminal_all_sequences(self):
        daemon, _ = self.stalled_daemon()
        for environment, sequences in (({}, True), ({"NO_COLOR": "1"}, False)):
            watch = self.on_terminal("watch", **environment)
            watch.read_until("%")
            watch.press_ctrl_c()
            watch.wait()
            self.assertEqual(bool(COLOUR.search(watch.written)), sequences)
            self.assertIn(HIDE_CURSOR, watch.written)
        dumb = self.on_terminal("watch", TERM="dumb")
        dumb.read_until("download")
        dumb.press_ctrl_c()
        self.assertEqual(dumb.wait(), -signal.SIGINT)
        self.assertNotIn("\x1b", dumb.written)
        self.stop(daemon)


class Reconnecting(CtlTest):
    def test_a_daemon_that_was_killed_is_waited_for_and_the_next_one_is_shown(self):
        daemon = self.ready_daemon()
        watch = self.on_terminal("watch", columns=120)
        watch.read_until("ready")
        daemon.kill()
        watch.read_until("the daemon has gone; waiting for it")
        watch.read_until("\x1b[J")  # the rest of that picture
        again = self.start(daemon.config_file.read_text())
        watch.read_until_picture(lambda picture: "ready" in picture and "gone" not in picture)
        self.assertNotIn("gone", watch.screen().text())
        again.signal(signal.SIGTERM)
        self.assertEqual(watch.wait(), DONE)
        self.assertFalse(watch.screen().cursor_is_hidden)
        self.assertEqual(again.wait(), 0)

    def test_in_a_pipe_the_frames_of_both_come(self):
        daemon = self.ready_daemon()
        watch = self.piped("--runtime-dir", self.runtime_dir, "watch", "--json")
        before = [json.loads(watch.stdout.readline()) for _ in range(2)]
        self.assertEqual([frame["status"] for frame in before], ["capabilities", "ready"])
        daemon.kill()
        again = self.start(daemon.config_file.read_text())
        after = []
        while not after or after[-1]["status"] != "ready":
            after.append(json.loads(watch.stdout.readline()))
        again.signal(signal.SIGTERM)
        after += [json.loads(line) for line in watch.stdout]
        self.assertEqual([frame["status"] for frame in after[-4:]], ["ready", "draining", "unloading", "unloaded"])
        self.assertEqual(watch.wait(ggufd.LIMIT_S), DONE)
        self.assertIn("another daemon is there", watch.stderr.read().decode())
        self.assertEqual(again.wait(), 0)

    def test_a_cut_connection_loses_and_doubles_nothing(self):
        daemon, origin = self.stalled_daemon()
        relay = self.enterContext(Relay(self.folder / "relay.sock", daemon.admin_socket))
        watch = self.piped("--socket", relay.path, "watch", "--json")
        witness = self.connect(daemon)
        frames = [json.loads(watch.stdout.readline())]
        # What it needs in order to know the daemon again: until then another one may be behind the next connection.
        process.wait_until(lambda: b'"uptime_s"' in relay.handed_on, daemon.process, ggufd.LIMIT_S, "the answer to ping")
        relay.cut()
        origin.clear("/model.gguf")
        while frames[-1]["status"] != "ready":
            frames.append(json.loads(watch.stdout.readline()))
        witness.until_status("ready")
        seqs = [frame["seq"] for frame in frames]
        self.assertEqual(seqs, sorted(set(seqs)), "nothing twice, nothing before its time")
        # Who was away is not told progress that is out of date, but of every status and phase.
        later = [event for event in witness.events if event["seq"] >= seqs[0]]
        for step, events in itertools.groupby(later, lambda event: (event["status"], event.get("phase"))):
            self.assertTrue({event["seq"] for event in events} & set(seqs), step)
        watch.send_signal(signal.SIGTERM)
        watch.wait(ggufd.LIMIT_S)
        self.assertIn("the daemon is back", watch.stderr.read().decode())
        self.stop(daemon)


class Pipes(CtlTest):
    def test_a_reader_that_has_seen_enough_ends_it_without_a_word(self):
        daemon, _ = self.stalled_daemon()
        ctl = ggufd.bin_dir() / "ggufctl"
        done = subprocess.run(["bash", "-c", f"'{ctl}' --runtime-dir '{self.runtime_dir}' watch | head -1; echo ${{PIPESTATUS[0]}}"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=ggufd.LIMIT_S, check=True,
                              env=ggufd.environment(self.folder))
        line, code = done.stdout.decode().splitlines()
        self.assertTrue(line.startswith("tiny: download"), line)
        self.assertEqual(int(code), FAILED)
        self.assertEqual(done.stderr.decode(), "")
        self.stop(daemon)


class StrangeDaemons(CtlTest):
    def test_a_daemon_of_another_protocol_is_named(self):
        def answer(request):
            if request["type"] == "ping":
                return {"type": "response", "version": "9.0.0", "protocol": 2, "pid": 1, "uptime_s": 1}
            return {"type": "error", "code": "unknown_type", "message": f"no {request['type']} here"}

        with FakeDaemon(self.folder / "fake.sock", answer) as fake:
            for verb in (["status"], ["load", "tiny"], ["pull", "tiny"], ["wait"]):
                with self.subTest(verb=verb):
                    code, printed, errors = ggufd.run_program("ggufctl", "--socket", fake.path, *verb, folder=self.folder)
                    self.assertEqual((code, printed), (FAILED, ""))
                    self.assertIn("ggufd 9.0.0, which speaks protocol 2; this ggufctl speaks 1", errors)

    def test_something_that_is_no_daemon_is_told(self):
        with FakeDaemon(self.folder / "fake.sock", lambda _: None, greeting=b"220 mail.example.org ESMTP\r\n") as fake:
            code, printed, errors = ggufd.run_program("ggufctl", "--socket", fake.path, "status", folder=self.folder)
        self.assertEqual((code, printed), (FAILED, ""))
        self.assertIn("does not speak the protocol of ggufd", errors)

    def test_no_daemon_on_a_terminal_is_3_at_once(self):
        watch = self.on_terminal("watch")
        self.assertEqual(watch.wait(), NO_DAEMON)
        self.assertNotIn(HIDE_CURSOR, watch.written)
        self.assertIn("start one with: ggufd --runtime-dir", watch.written.replace("\r\n", ""))


class Relay:
    """Hands bytes through to a socket, over connections that it can cut."""

    def __init__(self, path, target):
        self.path = str(path)
        self._target = str(target)
        self._ends = []
        self.handed_on = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source, sink):
        with source:
            try:
                while data := source.recv(1 << 16):
                    sink.sendall(data)
                    self.handed_on += data
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was cut

    def cut(self):
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._ends.clear()


class FakeDaemon:
    """Answers each request as `answer` says; None: not at all."""

    def __init__(self, path, answer, greeting=b""):
        self.path = str(path)
        self._answer = answer
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.unlink(self.path)

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client):
        with client, client.makefile("rb") as lines:
            try:
                client.sendall(self._greeting)
                for line in lines:
                    request = json.loads(line)
                    answer = self._answer(request)
                    if answer is not None:
                        client.sendall(json.dumps({"id": request["id"], **answer}).encode() + b"\n")
            except OSError:
                pass


if __name__ == "__main__":
    unittest.main()
