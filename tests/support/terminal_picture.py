#!/usr/bin/env python3
"""Draws what a program shows on a terminal as an SVG, for the documentation: real output, no screenshot by hand.

    python3 tests/support/terminal_picture.py --columns 100 --rows 6 --out docs/images/watch.svg -- ggufctl watch

The command runs on a pseudo-terminal. `--at TEXT` takes the picture as it is when TEXT first stands on it, instead of the last one.
`Screen` knows what ggufctl writes: text, colours, cursor up, erasing; anything else is an error and not guessed.
"""

from __future__ import annotations

import argparse
import fcntl
import html
import os
import pathlib
import re
import select
import signal
import struct
import sys
import termios
import time

# What SGR numbers mean here; the colours are readable on the dark ground that the picture has.
GROUND, TEXT = "#16181d", "#d6d9e0"
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff", "2": "#8b929e"}
SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")
CELL_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 20, 14


class Screen:
    """Lines of (character, style); the cursor is always at the end of what was written."""

    def __init__(self):
        self.lines, self.row, self.column, self.style = [[]], 0, 0, ""

    def feed(self, text):
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if not match:
                    raise ValueError(f"an unknown sequence: {text[at:at + 12]!r}")
                self._control(*match.groups())
                at = match.end()
                continue
            self._put(text[at])
            at += 1

    def _put(self, character):
        if character == "\n":
            self.row += 1
            self.column = 0
            if self.row == len(self.lines):
                self.lines.append([])
        elif character == "\r":
            self.column = 0
        else:
            line = self.lines[self.row]
            line.extend([(" ", "")] * (self.column - len(line)))
            line[self.column:self.column + 1] = [(character, self.style)]
            self.column += 1

    def _control(self, parameters, final):
        if final == "m":
            self.style = "" if parameters in ("", "0") else parameters
        elif final == "A":
            self.row = max(0, self.row - int(parameters or 1))
        elif final == "K":
            del self.lines[self.row][self.column:]
        elif final == "J":
            del self.lines[self.row][self.column:]
            del self.lines[self.row + 1:]
        elif final not in "hl":  # the cursor is shown or hidden
            raise ValueError(f"an unknown sequence: {parameters}{final}")

    def text(self):
        return "\n".join("".join(character for character, _ in line) for line in self.lines)

    def svg(self, title):
        lines = self.lines[:-1] if not self.lines[-1] else self.lines
        width = MARGIN * 2 + CELL_WIDTH * max(map(len, lines))
        height = MARGIN * 2 + LINE_HEIGHT * len(lines)
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img">',
                 f"<title>{html.escape(title)}</title>",
                 f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>',
                 f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="{TEXT}" xml:space="preserve">']
        for number, line in enumerate(lines):
            y = MARGIN + LINE_HEIGHT * (number + 0.75)
            parts += [f'<text x="{MARGIN + CELL_WIDTH * column:.1f}" y="{y:.1f}" textLength="{CELL_WIDTH * len(run):.1f}"{style}>'
                      f"{html.escape(run)}</text>" for column, run, style in runs(line)]
        return "\n".join([*parts, "</g>", "</svg>", ""])


def runs(line):
    """(column, text, attributes) of neighbours with one style, blanks between words left out."""
    begin = 0
    while begin < len(line):
        end = begin
        while end < len(line) and line[end][1] == line[begin][1]:
            end += 1
        text = "".join(character for character, _ in line[begin:end])
        for word in re.finditer(r"\S+(?: \S+)*", text):
            yield begin + word.start(), word.group(), attributes(line[begin][1])
        begin = end


def attributes(style):
    parts = style.split(";")
    colour = next((COLOURS[part] for part in parts if part in COLOURS), None)
    return (f' fill="{colour}"' if colour else "") + (' font-weight="bold"' if "1" in parts else "")


def record(command, columns, rows, wanted, limit_s, environment=None):
    """The screen when `wanted` first stands on it, else at the program's end."""
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execvpe(command[0], command, {**os.environ, **(environment or {}), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    screen, pending, end = Screen(), b"", time.monotonic() + limit_s
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                pending += os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            # A picture is written at once and ends a line; what is cut in the middle waits for its rest.
            whole, newline, pending = pending.rpartition(b"\n")
            screen.feed((whole + newline).decode())
            if wanted and wanted in screen.text():
                break
    finally:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
        os.close(terminal)
    return screen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--at", default="")
    parser.add_argument("--title", default="A terminal")
    parser.add_argument("--limit-s", type=float, default=60)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    screen = record(arguments.command, arguments.columns, arguments.rows, arguments.at, arguments.limit_s)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(screen.svg(arguments.title))
    print(screen.text(), file=sys.stderr)


if __name__ == "__main__":
    main()
