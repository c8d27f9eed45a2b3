"""What the parts of fake_llama_server.py share: its moods (listed there), its diary, its end and its log."""
import json
import os
import signal
import sys
import threading
import time

from fake_llama_cli import LOAD_MODE, NEW, OLD

STARTED = time.monotonic()
SIGNALS_FROM = 128


def moods():
    pairs = (mood.partition("=") for mood in os.environ.get("GGML_FAKE_MOOD", "").split(",") if mood)
    return {name: value for name, _, value in pairs}


MOOD = moods()
IS_OLD = "old" in MOOD
HAS_UNIX = not IS_OLD and "no_unix" not in MOOD
KINDS = {OLD if IS_OLD else NEW} | ({LOAD_MODE} if "load_mode" in MOOD else set())
MIB = 1024.0 * 1024.0
BUILD = (4753, "c392e509") if IS_OLD else (9963, "dc02e1f8")


def seconds(name):
    return float(MOOD.get(name) or 0)


# -- the diary --------------------------------------------------------------------------------------------------------


def write_diary(**entry):
    path = os.environ.get("GGML_FAKE_DIARY")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "time": time.time(), **entry}).encode() + b"\n")
        os.close(descriptor)


def starts_so_far():
    try:
        with open(os.environ["GGML_FAKE_DIARY"], "rb") as diary:
            return sum(b'"event": "start"' in line for line in diary)
    except (KeyError, OSError):
        return 0


def open_descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # that of the listing itself
    return found


def note_start():
    umask = os.umask(0o077)
    os.umask(umask)
    write_diary(event="start", ppid=os.getppid(), group=os.getpgid(0), session=os.getsid(0), argv=sys.argv,
                environ=dict(os.environ), fds=open_descriptors(), umask=umask, cwd=os.getcwd())


# -- ends -------------------------------------------------------------------------------------------------------------


def end(code):
    """Ends at once, from any thread; codes above 128 by a signal, as shells count them."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code > SIGNALS_FROM:
        signal_number = code - SIGNALS_FROM
        if threading.current_thread() is threading.main_thread() and signal_number != signal.SIGKILL:
            signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
        time.sleep(1)
    os._exit(code)


# -- the log ----------------------------------------------------------------------------------------------------------

TRACE, INFO, WARNING, ERROR = 4, 3, 2, 1
LETTERS = {TRACE: "I", INFO: "I", WARNING: "W", ERROR: "E"}
LIMITS = {"verbosity": INFO}


def log(text, level=INFO):
    """One line on standard error. Newer builds stamp it, and show what the library says from verbosity 4 on."""
    if "silent" in MOOD or (not IS_OLD and level > LIMITS["verbosity"]):
        return
    if not IS_OLD:
        micros = int((time.monotonic() - STARTED) * 1e6)
        minute, rest = divmod(micros, 60_000_000)
        text = (f"{minute}.{rest // 1_000_000:02}.{rest // 1000 % 1000:03}.{rest % 1000:03} {LETTERS[level]} {text}")
    write_error(text + "\n")


def write_error(text):
    if "silent" not in MOOD:
        os.write(2, text.encode())


def log_server(function, text, level=INFO):
    log(f"srv  {function[:12]:>12}: {text}", level)


def say_of_main(text, level=INFO):
    if IS_OLD:
        log(f"main: {text}", level)
    else:
        log_server("llama_server", text, level)


def to_router(state, **payload):
    """The undocumented line for a router that started us; on standard output."""
    if not IS_OLD and "LLAMA_SERVER_ROUTER_PORT" in os.environ:
        os.write(1, f"cmd_child_to_router:state:{json.dumps({'state': state, 'payload': payload})}\n".encode())


def version_text():
    if "bad_version" in MOOD:
        return "llama-server, some version\n"
    cuda = "ggml_cuda_init: found 1 CUDA devices:\n" if "cuda" in MOOD else ""
    return f"{cuda}version: {BUILD[0]} ({BUILD[1]})\nbuilt with GNU 12.2.0 for Linux x86_64\n"
