"""The harness of the integration tests: starts ggufd in folders of its own, reads its frames with time limits, asks it
things, ends it, and looks whether a sanitizer has complained.

GGUFD_BIN_DIR names the folder with the programs; ctest sets it. To run one file by hand:

    GGUFD_BIN_DIR=build/release/bin PYTHONPATH=tests/support python3 tests/integration/test_requests.py
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import process
import story

LIMIT_S = 60  # for one thing to happen; generous, since sanitizers and busy machines are slow
FRAME_BYTES_MAX = 64 * 1024
SANITIZER_WORDS = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def bin_dir():
    folder = os.environ.get("GGUFD_BIN_DIR")
    if not folder:
        raise RuntimeError("GGUFD_BIN_DIR does not say where the programs are; ctest sets it")
    return pathlib.Path(folder).resolve()


def environment(home, **more):
    """Ours without what would steer the daemon or its transfers, so that a developer's settings change no test."""
    steering = re.compile(r"(?i)^(ggufd_|xdg_|models_home$|runtime_directory$|notify_socket$|watchdog_|hf_|listen_|.*_proxy$|llama_)")
    kept = {name: value for name, value in os.environ.items() if not steering.match(name)}
    kept["HOME"] = str(home)
    kept.setdefault("ASAN_OPTIONS", "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1")
    kept.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    kept.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    return kept | {name: str(value) for name, value in more.items()}


@dataclasses.dataclass(frozen=True)
class ModelFile:
    path: pathlib.Path
    sha256: str
    size_bytes: int

    @property
    def name(self):
        return self.path.name


def model_file(path):
    data = pathlib.Path(path).read_bytes()
    return ModelFile(pathlib.Path(path), hashlib.sha256(data).hexdigest(), len(data))


def make_model(path, size_mb=4, seed=1, damage=None, n_ctx=512):
    """A valid llama-architecture GGUF of about `size_mb`, or one with the given damage."""
    command = [bin_dir() / "make_gguf", path, "--size-mb", size_mb, "--seed", seed, "--n-ctx", n_ctx]
    if damage:
        command += ["--damage", damage]
    subprocess.run([str(word) for word in command], check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
    return model_file(path)


class ClosedByPeer(Exception):
    """The daemon closed the connection while more was expected."""


class Client:
    """A connection to admin.sock. `events` has every event that was read, in order; answers are kept apart."""

    _ids = itertools.count(1)

    def __init__(self, path, receive_buffer_bytes=0):
        self.events: list[dict] = []
        self.lines: list[bytes] = []  # every frame as it came, events and answers
        self._answers: dict[str, list[dict]] = {}
        self._pending = b""
        self._ended = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(LIMIT_S)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def read_frame(self, limit_s=LIMIT_S):
        """The next frame, or None at the end. Events are also appended to `events`."""
        line = self._read_line(time.monotonic() + limit_s)
        if line is None:
            return None
        if len(line) + 1 > FRAME_BYTES_MAX:
            raise AssertionError(f"a frame of {len(line)} bytes is longer than 64 KiB")
        frame = json.loads(line.decode("utf-8"))
        if not isinstance(frame, dict):
            raise AssertionError(f"a frame is an object, not {line!r}")
        self.lines.append(line)
        if frame.get("type") == "status":
            self.events.append(frame)
        return frame

    def _read_line(self, deadline):
        while b"\n" not in self._pending:
            if self._ended:
                if self._pending:
                    raise AssertionError(f"the stream ends within a line: {self._pending[:200]!r}")
                return None
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                raise TimeoutError(f"no frame came in time; the last events were {self.events[-5:]}") from None
            except ConnectionResetError:
                data = b""
            self._ended = not data
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def until(self, wanted, limit_s=LIMIT_S):
        """Reads up to the first event for which `wanted` holds, and returns it."""
        deadline = time.monotonic() + limit_s
        while True:
            frame = self.read_frame(max(0.001, deadline - time.monotonic()))
            if frame is None:
                raise ClosedByPeer(f"the daemon closed the connection; the last events were {self.events[-5:]}")
            if frame.get("type") != "status":
                self._answers.setdefault(frame.get("id"), []).append(frame)
            elif wanted(frame):
                return frame

    def until_status(self, *statuses, model=None, limit_s=LIMIT_S):
        return self.until(lambda event: event["status"] in statuses and model in (None, event.get("model")), limit_s)

    def until_phase(self, phase, limit_s=LIMIT_S):
        return self.until(lambda event: event.get("phase") == phase, limit_s)

    def until_outcome(self, limit_s=LIMIT_S):
        """`ready`, or `error`, also one that will be tried again."""
        return self.until(lambda event: event["status"] in ("ready", "error"), limit_s)

    def read_to_end(self, limit_s=LIMIT_S):
        """Reads until the daemon closes; returns the events."""
        deadline = time.monotonic() + limit_s
        while self.read_frame(max(0.001, deadline - time.monotonic())) is not None:
            pass
        return self.events

    def send(self, data):
        self.socket.settimeout(LIMIT_S)
        self.socket.sendall(data)

    def answer(self, request_id, limit_s=LIMIT_S):
        """The next answer to `request_id`; events that come before it are kept in `events`."""
        deadline = time.monotonic() + limit_s
        while not self._answers.get(request_id):
            frame = self.read_frame(max(0.001, deadline - time.monotonic()))
            if frame is None:
                raise ClosedByPeer(f"the daemon closed the connection before it answered {request_id!r}")
            if frame.get("type") != "status":
                self._answers.setdefault(frame.get("id"), []).append(frame)
        return self._answers[request_id].pop(0)

    def ask(self, verb, limit_s=LIMIT_S, **parameters):
        request_id = f"q{next(self._ids)}"
        self.send(json.dumps({"id": request_id, "type": verb, **parameters}).encode() + b"\n")
        return self.answer(request_id, limit_s)


class Daemon:
    """One run of ggufd, with the store of another one where `store` names it; its `--config` says where the configuration is, unless
    `is_named` is false. Start it from the main thread
    (process.tied_to_us says why)."""

    def __init__(self, folder, config, arguments=(), prefix=(), store=None, pass_fds=(), is_named=True, **more_environment):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runtime_dir = self.folder / "run"
        self.store = pathlib.Path(store or self.folder / "store")
        # One that is not named is where the daemon looks last.
        self.config_file = self.folder / ("config.json" if is_named else ".config/ggufd/config.json")
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        if config is not None:
            self.config_file.write_text(config if isinstance(config, str) else json.dumps(config))
        self._stderr = tempfile.TemporaryFile()
        named = ["--config", str(self.config_file)] if is_named else []
        command = [str(bin_dir() / "ggufd"), *named, "--runtime-dir", str(self.runtime_dir),
                   "--store", str(self.store), *map(str, arguments)]
        self.process = subprocess.Popen(
            process.tied_to_us([*prefix, *command]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self._stderr, pass_fds=pass_fds, env=environment(self.folder, **more_environment))

    @property
    def admin_socket(self):
        return self.runtime_dir / "admin.sock"

    def stderr(self):
        return process.text_of(self._stderr)

    def connect(self, limit_s=LIMIT_S, **options):
        def attempt():
            try:
                return Client(self.admin_socket, **options)
            except (FileNotFoundError, ConnectionRefusedError):
                return None

        try:
            return process.wait_until(attempt, self.process, limit_s, "admin.sock")
        except (ChildProcessError, TimeoutError) as error:
            raise AssertionError(f"{error}; the daemon said:\n{self.stderr()}") from None

    def signal(self, which):
        self.process.send_signal(which)

    def wait(self, limit_s=LIMIT_S):
        """The exit code; a daemon that does not end in time is killed, and that is a failure."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not end within {limit_s} s; it said:\n{self.stderr()}") from None

    def stop(self, limit_s=LIMIT_S):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(limit_s)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def sanitizer_report(self):
        """What a sanitizer has said, or an empty string."""
        words = self.stderr()
        return words if SANITIZER_WORDS.search(words) else ""


class DaemonTest(unittest.TestCase):
    """A test with folders of its own. Every daemon that it started is ended and looked over afterwards."""

    maxDiff = None

    def setUp(self):
        # Socket paths are limited to 107 bytes, so a long TMPDIR is no use.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ggufd-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.web = self.folder / "web"
        self.web.mkdir()
        self.store = self.folder / "store"
        self.runtime_dir = self.folder / "run"

    def start(self, config, arguments=(), prefix=(), folder=None, store=None, pass_fds=(), **more_environment):
        daemon = Daemon(folder or self.folder, config, arguments, prefix, store, pass_fds, **more_environment)
        self.addCleanup(self._finish, daemon)
        return daemon

    def _finish(self, daemon):
        process.end(daemon.process)
        report = daemon.sanitizer_report()
        daemon._stderr.close()
        if report:
            self.fail(f"a sanitizer has complained:\n{report}")

    def connect(self, daemon, **options):
        client = daemon.connect(**options)
        self.addCleanup(client.close)
        return client

    def stop(self, daemon):
        """Ends the daemon in order; anything but exit code 0 is a failure."""
        code = daemon.stop()
        self.assertEqual(code, 0, daemon.stderr())

    def model(self, name="model.gguf", folder=None, **options):
        return make_model((folder or self.web) / name, **options)

    def config_for(self, source, model=None, name="tiny", fetch=None, **more):
        """A configuration with one resident model; `source` may be a list of mirrors, `model` gives the digest, `more` goes
        to the model's entry."""
        source = [str(mirror) for mirror in source] if isinstance(source, list) else str(source)
        entry = {"name": name, "source": source, "engine": "resident", **more}
        if model is not None:
            entry.setdefault("sha256", model.sha256)
        return {"models": [entry], "memory_headroom_bytes": 0, "fetch": {"retries": 1, **(fetch or {})}}

    def bring_up(self, config, **more):
        """Starts a daemon and reads to its outcome: (daemon, client, outcome). `client.events` is the whole story, with
        what was published before we could connect, where the daemon serves `subscribe`."""
        daemon = self.start(config, **more)
        client = self.connect(daemon)
        outcome = client.until_outcome()
        self.complete(client, daemon)
        return daemon, client, outcome

    def complete(self, client, daemon):
        """Puts the events that `client` has missed before its own, and checks that memory and stream agree."""
        with daemon.connect() as late:
            answer = late.ask("subscribe", since=0)
            if answer["type"] == "error":
                return
            replayed: list[dict] = []
            while not replayed or replayed[-1]["seq"] < client.events[-1]["seq"]:
                frame = late.read_frame()
                if frame is None:
                    raise ClosedByPeer("the daemon closed the connection within what `subscribe` asked for")
                replayed.append(frame)
        last = client.events[-1]["seq"]
        replayed = [event for event in replayed if event["seq"] <= last]
        for event in client.events:
            if "seq" in event:
                self.assertIn(event, replayed, "what was told live is what is remembered")
        client.events[:] = replayed

    def phases_of(self, client, phase):
        """The events of `phase`. Skips the test where they may have been before our time, and cannot be asked for."""
        found = [event for event in client.events if event.get("phase") == phase]
        if not found and not story.is_whole(client.events):
            self.skipTest(f"{phase} was over before we were connected, and the daemon does not serve `subscribe`")
        return found

    def assert_steps(self, client, expected):
        """The steps are `expected`, or its end where the beginning was before our time; an engine's own steps apart."""
        told = [step for step in story.steps(client.events) if step not in ("engine_start", "warm_up")]
        self.assertTrue(told)
        self.assertEqual(told, expected if story.is_whole(client.events) else expected[-len(told):])

    def assert_ready(self, outcome, daemon):
        self.assertEqual(outcome["status"], "ready", f"{outcome}\n{daemon.stderr()}")

    def assert_error(self, outcome, *codes):
        self.assertEqual(outcome["status"], "error", outcome)
        self.assertIn(outcome["code"], codes, outcome)
        self.assertGreater(len(outcome["message"].split()), 3, "a message is a sentence")

    def blob(self, model):
        return self.store / "blobs/sha256" / model.sha256[:2] / model.sha256 / "data"

    def quarantined(self):
        return sorted((self.store / "locks/quarantine").glob("*.bin"))


def run_program(name, *arguments, folder, limit_s=LIMIT_S, **more_environment):
    """Runs a program of ours to its end: (exit code, stdout, stderr). A sanitizer's complaint is a failure."""
    done = subprocess.run([str(bin_dir() / name), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=limit_s, check=False, env=environment(folder, **more_environment))
    errors = done.stderr.decode(errors="replace")
    if SANITIZER_WORDS.search(errors):
        raise AssertionError(f"a sanitizer has complained about {name}:\n{errors}")
    return done.returncode, done.stdout.decode(), errors
