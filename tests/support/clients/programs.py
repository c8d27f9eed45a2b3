"""The clients of docs/clients as programs under test: how each is made to run, what it shows, how it is told to ask something."""

from __future__ import annotations

import atexit
import functools
import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import ggufd
import process

ROOT = pathlib.Path(__file__).resolve().parents[3]
CLIENTS = ROOT / "docs/clients"
SUPPORT = pathlib.Path(__file__).resolve().parent
NODE_MODULES = ROOT / "build/tools/vscode_client/node_modules"
TSC = NODE_MODULES / "typescript/bin/tsc"
BUILD_LIMIT_S = 300  # compilers are slow on busy machines
NODE = shutil.which("node") or shutil.which("nodejs")


def need(program, where):
    if not program:
        raise unittest.SkipTest(f"{where} is not here; ./dev test installs it")


def need_typescript():
    need(NODE, "node")
    if not TSC.exists():
        raise unittest.SkipTest("TypeScript is not here; ./dev test fetches it where npm's registry can be reached")


def build(folder, *command):
    done = subprocess.run([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=BUILD_LIMIT_S, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command} in {folder} says:\n{done.stdout}{done.stderr}")


def folder_of_this_process():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ggufd-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def compiled_client():
    """The TypeScript client as JavaScript; compiled once. Node's own types are taken as checked, which saves seconds."""
    need_typescript()
    folder = folder_of_this_process()
    build(folder, NODE, TSC, "--strict", "--erasableSyntaxOnly", "--skipLibCheck", "--target", "es2022", "--module", "node16",
          "--outDir", folder, "--typeRoots", NODE_MODULES / "@types", TypeScript.file)
    return folder / "ggufd.js"


@functools.cache
def built_extension():
    """The VS Code extension's main file, built as its README says, where npm is here; else by what `npm run build` would run."""
    need_typescript()
    folder = folder_of_this_process() / "extension"
    shutil.copytree(CLIENTS / "vscode", folder, ignore=shutil.ignore_patterns("node_modules", "out"))
    (folder / "node_modules").symlink_to(NODE_MODULES)
    npm = shutil.which("npm")
    build(folder, *([npm, "run", "build"] if npm else [NODE, TSC, "-p", "."]))
    return folder / "out/extension.js"


class Shown:
    """A running client, and the lines that it has shown so far."""

    def __init__(self, command, environment, stdin=subprocess.DEVNULL):
        self.lines: list[str] = []
        self._errors = tempfile.TemporaryFile()
        self.child = subprocess.Popen(process.tied_to_us([str(word) for word in command]), stdin=stdin, stdout=subprocess.PIPE,
                                      stderr=self._errors, env=environment)
        self._pending = b""

    def close(self):
        process.end(self.child)
        self.child.stdout.close()
        if self.child.stdin:
            self.child.stdin.close()
        self._errors.close()

    def errors(self):
        return process.text_of(self._errors)

    def line(self, deadline):
        while b"\n" not in self._pending:
            if not select.select([self.child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing more is shown; the last lines were {self.lines[-5:]}\n{self.errors()}")
            data = os.read(self.child.stdout.fileno(), 1 << 16)
            if not data:
                raise AssertionError(f"the client has ended; the last lines were {self.lines[-5:]}\n{self.errors()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        self.lines.append(line.decode())
        return self.lines[-1]

    def until(self, pattern):
        """The first new line in which `pattern` is found."""
        deadline = time.monotonic() + ggufd.LIMIT_S
        while True:
            line = self.line(deadline)
            if re.search(pattern, line):
                return line


class Program:
    """A client: `expected` is the file that has what it shows of the recorded session, `gone` what it shows without a daemon."""

    expected = "session.lines.txt"
    gone = r"^ggufd: no daemon$"
    begins_gone = False  # it shows so until it is connected for the first time
    asks_since = False

    def __init__(self, folder):
        """`folder` is there for the program's own files until the test's end."""
        self.folder = folder

    def start(self, environment):
        raise NotImplementedError

    def ask(self, shown, verb, model):
        """The running client asks; what comes of it shows."""
        raise NotImplementedError


class Python(Program):
    file = CLIENTS / "python/ggufd_client.py"
    asks_since = True

    def command(self, *arguments):
        return [sys.executable, "-B", self.file, *arguments]

    def start(self, environment):
        self.environment = environment
        return Shown(self.command(), environment)

    def run(self, *arguments, environment=None):
        return subprocess.run([str(word) for word in self.command(*arguments)], env=environment or self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ggufd.LIMIT_S, check=False)

    def ask(self, shown, verb, model):
        done = self.run(verb, model)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)


class TypeScript(Python):
    file = CLIENTS / "typescript/ggufd.ts"
    asks_since = False

    def command(self, *arguments):
        return [NODE, compiled_client(), *arguments]


class Neovim(Program):
    file = CLIENTS / "lua/ggufd.lua"
    expected = "session.statusline.txt"

    def __init__(self, folder):
        need(shutil.which("nvim"), "nvim")
        super().__init__(folder)
        (folder / "lua").mkdir()
        shutil.copy(self.file, folder / "lua")

    def start(self, environment):
        path = str(self.folder / "control")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            pathlib.Path(path).unlink(missing_ok=True)
            listener.bind(path)
            listener.listen()
            listener.settimeout(ggufd.LIMIT_S)
            shown = Shown(["nvim", "--headless", "-u", "NONE", "-i", "NONE", "-n", "--cmd", f"set runtimepath^={self.folder}",
                           "-c", f"luafile {SUPPORT / 'nvim_driver.lua'}"], environment | {"CONTROL": path})
            self.control = listener.accept()[0]
        return shown

    def command(self, text):
        self.control.sendall(text.encode() + b"\n")

    def ask(self, shown, verb, model):
        self.command(f"Ggufd{verb.capitalize()} {model}")

    def close(self):
        self.control.close()


class VsCode(Program):
    expected = "session.vscode.txt"
    gone = r"debug-disconnect"
    begins_gone = True

    def __init__(self, folder, late=False):
        super().__init__(folder)
        self._late = ["late"] if late else []

    def start(self, environment, **settings):
        named = {f"ggufd.{name}": str(value) for name, value in settings.items()}
        return Shown([NODE, SUPPORT / "vscode_driver.js", built_extension(), json.dumps(named), *self._late],
                     environment, stdin=subprocess.PIPE)

    def order(self, shown, *words):
        shown.child.stdin.write(json.dumps(words).encode() + b"\n")
        shown.child.stdin.flush()

    def ask(self, shown, verb, model):
        self.order(shown, "command", f"ggufd.{verb}", model)
