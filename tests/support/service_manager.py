"""What a service manager is to ggufd: a notify socket that remembers what it was told, and sockets bound for it."""

from __future__ import annotations

import os
import pathlib
import socket
import sys
import time

import ggufd

ACTIVATE = pathlib.Path(__file__).resolve().parent / "activate.py"


class NotifySocket:
    """Every message in order, each as a dictionary."""

    def __init__(self, address):
        self.address = str(address)
        self.messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:] if self.address.startswith("@") else self.address)

    def close(self):
        self._socket.close()

    def read(self, limit_s=ggufd.LIMIT_S):
        """The next message; None where none comes in time."""
        self._socket.settimeout(max(0.001, limit_s))
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return None
        message = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.messages.append(message)
        return message

    def until(self, wanted, limit_s=ggufd.LIMIT_S):
        """Reads up to the first message for which `wanted` holds."""
        deadline = time.monotonic() + limit_s
        while True:
            message = self.read(deadline - time.monotonic())
            if message is None:
                raise AssertionError(f"the message did not come; what came was {self.messages}")
            if wanted(message):
                return message

    def until_key(self, key, limit_s=ggufd.LIMIT_S):
        return self.until(lambda message: key in message, limit_s)

    def drain(self):
        """Reads what has come already."""
        while self.read(0.001) is not None:
            pass

    @property
    def statuses(self):
        return [message["STATUS"] for message in self.messages if "STATUS" in message]


def listening(path, kind=socket.SOCK_STREAM, listens=True):
    bound = socket.socket(socket.AF_UNIX, kind)
    bound.bind(str(path))
    os.chmod(path, 0o600)
    if listens:
        bound.listen()
    return bound


def hand_over(*sockets):
    """A command's beginning that makes `sockets` the descriptors from 3 on of the program that follows."""
    descriptors = ",".join(str(each.fileno()) for each in sockets)
    return [sys.executable, "-B", str(ACTIVATE), descriptors]
