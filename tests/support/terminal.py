"""A terminal for the tests: a program that has one as its input, output and controlling terminal, and what stands on its screen."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

import ggufd
import process

_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """What a terminal shows of what was written to it: the sequences that ggufctl uses, and no other."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_is_hidden = False
        self.wrapped = 0  # lines that were too long

    def feed(self, text):
        at = 0
        while at < len(text):
            match = _SEQUENCE.match(text, at)
            if match:
                self._control(*match.groups())
                at = match.end()
                continue
            self._character(text[at])
            at += 1
        return self

    def _control(self, private, number, letter):
        if private:
            self.cursor_is_hidden = letter == "l"
        elif letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif letter == "J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        elif letter != "m":
            raise AssertionError(f"ggufctl writes an unexpected sequence: {letter}")

    def _character(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            if self.column == self.columns:
                self.wrapped += 1
                self.column = 0
                self._character("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + character + line[self.column + 1:]
            self.column += 1

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class OnTerminal:
    """A program on a pseudo-terminal. Start it from the main thread (process.tied_to_us says why)."""

    def __init__(self, *command, folder, columns=80, rows=24, **more_environment):
        self.columns = columns
        self.written = ""
        self._taken = 0  # of it, by read_until
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._master, slave = os.openpty()
        self.resize(columns, rows)
        # setsid -c makes it the controlling terminal, so that Ctrl-C is a signal.
        command = process.tied_to_us(["setsid", "-c", *map(str, command)])
        environment = ggufd.environment(folder, **{"TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **more_environment})
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)

    def resize(self, columns, rows=24):
        """The program is told by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self._master, text.encode())

    def press_ctrl_c(self):
        self.type("\x03")

    def _read(self, deadline):
        """False at the end of all output."""
        readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(f"nothing more was written; so far: {self.written[-2000:]!r}")
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.written += self._decoder.decode(data)  # a character may come in pieces
        return bool(data)

    def read_until(self, wanted, limit_s=ggufd.LIMIT_S):
        """Reads until `wanted` has been written behind what earlier calls have taken; takes it and what is before it."""
        begin = self._taken
        deadline = time.monotonic() + limit_s
        while (at := self.written.find(wanted, begin)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"it ended without {wanted!r}: {self.written[-2000:]!r}")
        self._taken = at + len(wanted)
        return self.written[begin:self._taken]

    def read_until_picture(self, holds, limit_s=ggufd.LIMIT_S):
        """Reads until a picture is drawn for which `holds` says true."""
        deadline = time.monotonic() + limit_s
        while not holds(picture := self.read_until("\x1b[J", deadline - time.monotonic())):
            pass
        return picture

    def wait(self, limit_s=ggufd.LIMIT_S):
        """Reads to the end; the exit code, negative for a signal."""
        deadline = time.monotonic() + limit_s
        while self._read(deadline):
            pass
        return self.process.wait(limit_s)

    def screen(self):
        return Screen(self.columns).feed(self.written)

    def close(self):
        process.end(self.process)
        os.close(self._master)
