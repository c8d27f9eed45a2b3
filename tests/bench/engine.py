"""What supervising a llama-server costs its users, and how soon they are told that it has died.

    ./dev bench engine --requests 2000 --runs 5
    LLAMA_SERVER=/opt/llama.cpp/llama-server ./dev bench engine

requests  GET /health on a connection each, through infer.sock and through the child's own socket, interleaved: it is the same
          socket, so the ratio says only how noisy the machine is. The median time to the first byte beside it.
death     SIGKILL to the child: until a subscriber has read `restarting`, and until it has read `ready` again, less the back-off, beside the
          time that the same child takes to its first good /health when it is started by hand.
idle      CPU time of ggufd while the child is ready and nobody asks for anything, for 1,000 s.
metrics   time of GET /metrics with --subscribers connections to the admin socket.

Without LLAMA_SERVER it is the fake one of the tests, with a load of half a second.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402
import measure  # noqa: E402

FAKE = pathlib.Path(__file__).resolve().parents[1] / "support" / "fake_llama_server.py"
QUESTION = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BACK_OFF_MS = 100


def ask(path, question=QUESTION):
    """Seconds to the first byte of the answer, and the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        begin = time.perf_counter()
        client.connect(str(path))
        client.sendall(question)
        answer = client.recv(65536)
        first = time.perf_counter() - begin
        while part := client.recv(65536):
            answer += part
        return first, answer


def burst(path, requests):
    begin = time.perf_counter()
    firsts = sorted(ask(path)[0] for _ in range(requests))
    return requests / (time.perf_counter() - begin), measure.percentile(firsts, 50) * 1000


def time_requests(daemon, requests, runs):
    ways = {"infer.sock": daemon.runtime_dir / "infer.sock", "the child's own": daemon.runtime_dir / ".tiny.sock"}
    seen = {name: ([], []) for name in ways}
    for run in range(runs):
        for name, path in list(ways.items())[:: -1 if run % 2 else 1]:
            rate, first_ms = burst(path, requests)
            seen[name][0].append(rate)
            seen[name][1].append(first_ms)
    return {name: [statistics.median(values) for values in pair] for name, pair in seen.items()}


def engine_pid(client):
    return client.ask("status")["models"][0]["engine"]["pid"]


def time_deaths(client, runs):
    told, back = [], []
    for _ in range(runs):
        pid = engine_pid(client)
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        client.until_status("restarting")
        told.append((time.perf_counter() - begin) * 1000)
        client.until_status("ready")
        back.append((time.perf_counter() - begin) * 1000 - BACK_OFF_MS)
    return statistics.median(told), max(told), statistics.median(back)


def own_load_ms(binary, model, folder, environment, runs):
    """From its start to its first good /health, asked as often as one can."""
    times = []
    for _ in range(runs):
        path = folder / "own.sock"
        path.unlink(missing_ok=True)
        begin = time.perf_counter()
        child = subprocess.Popen([binary, "--model", model, "--host", path, "-c", "512", "-t", "1"], env=environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                if ask(path)[1].startswith(b"HTTP/1.1 200"):
                    break
            except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
                pass
            if child.poll() is not None:
                sys.exit("engine: the child ended by itself")
            time.sleep(0.001)
        times.append((time.perf_counter() - begin) * 1000)
        child.kill()
        child.wait()
    return statistics.median(times)


def time_idle(daemon, seconds):
    before, begin = measure.cpu_s(daemon.process.pid), time.perf_counter()
    time.sleep(seconds)
    return (measure.cpu_s(daemon.process.pid) - before) / (time.perf_counter() - begin) * 1000


def time_metrics(daemon, subscribers, runs):
    clients = []
    for _ in range(subscribers):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(daemon.admin_socket))
        clients.append(client)
    question = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    times = sorted(ask(daemon.runtime_dir / "http.sock", question)[0] * 1000 for _ in range(runs))
    for client in clients:
        client.close()
    return measure.percentile(times, 50), measure.percentile(times, 99)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle-s", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=10_000)
    options = parser.parse_args()
    os.environ["GGUFD_BIN_DIR"] = options.bin
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    binary = os.environ.get("LLAMA_SERVER") or str(FAKE)
    mood = {} if os.environ.get("LLAMA_SERVER") else {"GGML_FAKE_MOOD": "slow_load=0.5"}
    with tempfile.TemporaryDirectory(prefix="ggufd-bench-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        model = folder / "m.gguf"
        subprocess.run([ggufd.bin_dir() / "make_gguf", model, "--runnable", "chat"], check=True)
        config = {"models": [{"name": "tiny", "source": str(model), "engine": "llama-server", "n_ctx": 512, "warm_up": False}],
                  "memory_headroom_bytes": 0,
                  "llama_server": {"binary": binary, "threads": 1, "backoff_initial_ms": BACK_OFF_MS, "backoff_max_ms": BACK_OFF_MS,
                                   "min_stable_uptime_s": 0}}
        daemon = ggufd.Daemon(folder, json.dumps(config), **mood)
        try:
            with daemon.connect() as client:
                client.until_status("ready")
                for way, (rate, first_ms) in time_requests(daemon, options.requests, options.runs).items():
                    print(f"requests  {way:16} {rate:8.0f} a second, first byte {first_ms:.3f} ms")
                told, worst, back = time_deaths(client, options.runs)
                own = own_load_ms(binary, model, folder, ggufd.environment(folder, **mood), options.runs)
                print(f"death     restarting is read after {told:.1f} ms (worst {worst:.1f}, aim < 50)")
                print(f"death     ready again after {back:.0f} ms without the back-off, by hand {own:.0f} ms: "
                      f"{back / own:.2f} (aim <= 1.05)")
                print(f"idle      {time_idle(daemon, options.idle_s):.2f} s of CPU in 1,000 s (from {options.idle_s:.0f} s)")
            median, worst = time_metrics(daemon, options.subscribers, 50)
            print(f"metrics   {median:.1f} ms, p99 {worst:.1f} ms with {options.subscribers:,} subscribers")
        finally:
            daemon.stop()


if __name__ == "__main__":
    main()
