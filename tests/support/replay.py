"""Plays a recorded session to a client, from a Unix socket and in pieces that are as awkward as can be."""

from __future__ import annotations

import array
import fcntl
import itertools
import json
import pathlib
import re
import socket
import termios
import time

SESSION = pathlib.Path(__file__).resolve().parents[1] / "golden/session.ndjson"
LIMIT_S = 60
SIZES = (1, 61, 2, 509, 3, 7)
TICK_S = 0.00005
SPECIAL = re.compile(rb"[\n\x80-\xff]")  # a line's end, and the bytes of characters beyond ASCII


def pieces(data):
    """The first line and every special byte one by one, the rest in pieces of odd sizes."""
    first = data.index(b"\n")
    sizes = itertools.cycle(SIZES)
    at = 0
    while at < len(data):
        special = SPECIAL.search(data, at)
        room = special.start() - at if special else len(data) - at
        piece = data[at:at + max(1, min(room, 1 if at < first else next(sizes)))]
        yield piece
        at += len(piece)


class Replay:
    """Listens at `path` in the daemon's place. Every call waits for the client, and fails where it takes too long."""

    def __init__(self, path):
        self._path = pathlib.Path(path)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(LIMIT_S)
        self._connection = None
        self._pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        self._listener.close()
        self._path.unlink()

    def accept(self):
        """The next connection takes the last one's place."""
        self.hang_up()
        self._connection = self._listener.accept()[0]
        self._connection.settimeout(LIMIT_S)
        self._pending = b""

    def hang_up(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def play(self, data):
        """Each piece is read by the client before the next one is sent."""
        for piece in pieces(data):
            self._connection.sendall(piece)
            self._wait_until_taken()

    def tell(self, *frames):
        self._connection.sendall(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    def request(self):
        """The next line from the client."""
        while b"\n" not in self._pending:
            data = self._connection.recv(4096)
            if not data:
                raise AssertionError("the client has closed the connection")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def _wait_until_taken(self):
        waiting = array.array("i", [0])
        deadline = time.monotonic() + LIMIT_S
        while True:
            fcntl.ioctl(self._connection, termios.TIOCOUTQ, waiting)
            if not waiting[0]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the client did not read for {LIMIT_S} s")
            time.sleep(TICK_S)
