"""What the tests of hostile clients share: a daemon with a model, somebody who listens all the time and somebody who asks."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import selectors
import socket
import time
import unittest

import ggufd
import process
import story
from origin import Origin

MIB = 1 << 20
# More than an allocator's own ups and downs, much less than what any of the attacks sends.
GROWTH_LIMIT_BYTES = 16 * MIB


def memory_bytes(pid, key="RssAnon"):
    """Heap, stacks and buffers of a process: neither mapped files nor the page cache."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/status has no {key}")


def is_sanitized(pid):
    """Whether it has a sanitizer's shadow memory, which makes every measure of memory and of wake-ups meaningless."""
    return memory_bytes(pid, "VmSize") > 1 << 40


def raise_descriptor_limit(count):
    """So that this process may hold `count` connections; the test is skipped where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise unittest.SkipTest(f"{wanted} descriptors are needed, and {hard} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def close_all(sockets):
    for one in sockets:
        one.close()


class WitnessedTest(ggufd.DaemonTest):
    """`self.witness` reads events and nothing else from the daemon's first moment to the test's last; `self.asker` asks."""

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=1)
        self.daemon = self.start(self.configuration(), prefix=self.prefix())
        self.path = str(self.daemon.admin_socket)
        self.witness = self.connect(self.daemon)
        self.witness.until_status("starting")
        self.asker = self.connect(self.daemon)

    def configuration(self):
        """A model that is loaded when somebody asks for it."""
        return self.config_for(self.file.path, self.file, load="manual")

    def prefix(self):
        """What stands before ggufd on its command line."""
        return ()

    def tearDown(self):
        self.assert_unharmed()
        self.stop(self.daemon)
        self.witness.read_to_end()
        told = [(event["status"], event.get("reason")) for event in self.witness.events]
        # What was being pulled under other names ends behind it.
        after = told[told.index(("draining", None)) + 1:]
        self.assertLessEqual(set(after), {("unloading", "shutdown"), ("unloaded", "shutdown")})
        story.check_sequence(self.witness.events)
        super().tearDown()

    # ---- Others

    def raw(self):
        """A connection without our client's manners."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(connection.close)
        connection.settimeout(ggufd.LIMIT_S)
        connection.connect(self.path)
        return connection

    def answers_to(self, client, lines):
        """All answers to `lines` as (id, frame), in their order; a `ping` behind them marks the end."""
        marker = "the end"
        client.send(b"".join(line + b"\n" for line in lines) + json.dumps({"id": marker, "type": "ping"}).encode() + b"\n")
        found = []
        while True:
            frame = client.read_frame()
            if frame is None:
                raise ggufd.ClosedByPeer(f"the connection was closed; the last answers were {found[-3:]}")
            if frame["type"] == "status":
                continue
            if frame["id"] == marker:
                return found
            found.append((frame["id"], frame))

    def subscribers(self):
        return self.asker.ask("status")["subscribers"]

    def wait_for(self, condition, what):
        """Its first true value. With thousands of sockets open, process.wait_until cannot watch the daemon's own end (select(2)
        knows 1,024), so that is asked for here."""
        def alive_and_true():
            self.assertIsNone(self.daemon.process.poll(), f"the daemon ended while we waited for {what}")
            return condition()

        return process.wait_until(alive_and_true, None, ggufd.LIMIT_S, what)

    def wait_for_subscribers(self, count):
        self.wait_for(lambda: self.subscribers() == count, f"{count} subscribers")

    def wait_for_log(self, words, times=1):
        """Until `words` are in the log so often; the log is written behind what it tells of."""
        self.wait_for(lambda: self.daemon.stderr().count(words) >= times, f"{words!r} in the log")

    # ---- Proof

    def assert_unharmed(self):
        """Another client is answered and served, and the witness has missed nothing of it."""
        self.assertEqual(self.asker.ask("ping")["pid"], self.daemon.process.pid)
        self.assertEqual(self.asker.ask("load", wait=True).get("state"), "ready")
        self.assertEqual(self.asker.ask("unload", wait=True).get("state"), "uninitialized")
        self.witness.until_status("ready")
        self.witness.until_status("unloaded")
        story.check_sequence(self.witness.events)
        story.check_sequence(self.asker.events)

    def assert_memory_settles(self, attack, rounds=3, others=0):
        """The first time fills what the allocator keeps; the same attack again takes no more. `others` are the test's own
        connections beside ours."""
        def memory_after_attacks(count):
            for _ in range(count):
                attack()
                self.assert_unharmed()
            self.wait_for_subscribers(2 + others)
            return memory_bytes(self.daemon.process.pid)

        before = memory_after_attacks(1)
        if not is_sanitized(self.daemon.process.pid):
            self.assertLess(memory_after_attacks(rounds) - before, GROWTH_LIMIT_BYTES)

    def wait_for_descriptors(self, at_most):
        """Connections that have gone hold none: those that were never taken are taken, and closed, in their turn."""
        self.wait_for(lambda: len(os.listdir(f"/proc/{self.daemon.process.pid}/fd")) <= at_most,
                      f"no more than {at_most} open descriptors")


class StalledTest(WitnessedTest):
    """The same with a model whose source stops half-way, until the test's end."""

    def configuration(self):
        self.origin = self.enterContext(Origin(self.web))
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        return self.config_for(self.origin.url("model.gguf"), self.file, load="manual")

    def tearDown(self):
        self.origin.clear("/model.gguf")
        super().tearDown()


class Crowd:
    """Many connections at a time, read as their bytes come: what each was told until it was closed, or nothing more came."""

    def __init__(self, path, count):
        self.told = {}
        self.ended = set()
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.told[connection] = b""
            connection.setblocking(False)
            try:
                connection.connect(str(path))
            except BlockingIOError:  # the backlog is full
                self.ended.add(connection)
                continue
            self._selector.register(connection, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._selector.close()
        close_all(self.told)

    def read(self, until, limit_s=ggufd.LIMIT_S):
        """Reads until `until()` holds; False where the limit comes first."""
        deadline = time.monotonic() + limit_s
        while not until():
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                self._read_one(key.fileobj)
        return True

    def _read_one(self, connection):
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = connection.recv(1 << 16)
        self.told[connection] += data
        if not data:
            self._selector.unregister(connection)
            self.ended.add(connection)

    def frames(self, connection):
        return [json.loads(line) for line in self.told[connection].split(b"\n")[:-1]]

    def heard(self):
        """Those that were told something or closed."""
        return [one for one in self.told if self.told[one] or one in self.ended]

    def is_refused(self, connection):
        frames = self.frames(connection)
        return bool(frames) and (frames[0]["status"], frames[0].get("code")) == ("warning", "busy")

    def refused(self):
        return [one for one in self.told if self.is_refused(one)]

    def served(self):
        return [one for one in self.told if self.told[one] and not self.is_refused(one)]

    def waiting(self):
        """In the backlog, or not let in there."""
        return [one for one in self.told if not self.told[one]]

    def leave(self, connections):
        """Closes some of them."""
        for one in list(connections):
            if one not in self.ended:
                self._selector.unregister(one)
            self.ended.discard(one)
            del self.told[one]
            one.close()

