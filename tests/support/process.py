"""Children of the tests: started so that none outlives us, waited for with time limits, ended by pid."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time

TICK_S = 0.0005


def tied_to_us(command):
    """`command`, arranged to be killed when the thread that starts it ends (util-linux's setpriv; Linux only).

    Start such children from the main thread: the kernel sends the signal at the end of the starting thread."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)


def text_of(file):
    """What a child has written into this open file so far. The child writes at the position that it shares with us, so that is
    left alone: a seek here would have it write over what stands there."""
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


def wait_until(condition, child, timeout_s, what):
    """Waits for `condition()`; returns its first true value. Fails at once where `child` ends before that."""
    deadline = time.monotonic() + timeout_s
    with _Pidfd(child) as pidfd:
        while True:
            value = condition()
            if value:
                return value
            if child is not None and child.poll() is not None:
                raise ChildProcessError(f"the program ended with {child.returncode} while we waited for {what}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s} s for {what}")
            select.select([pidfd] if pidfd is not None else [], [], [], TICK_S)


class _Pidfd:
    """Readable once the child has ended: what makes the wait above notice a death at once."""

    def __init__(self, child):
        self._child = child
        self._descriptor = None

    def __enter__(self):
        if self._child is not None and self._child.poll() is None and hasattr(os, "pidfd_open"):
            self._descriptor = os.pidfd_open(self._child.pid)
        return self._descriptor

    def __exit__(self, *_):
        if self._descriptor is not None:
            os.close(self._descriptor)


def end(child, grace_s=5):
    """SIGTERM, then SIGKILL; returns the exit code."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()
