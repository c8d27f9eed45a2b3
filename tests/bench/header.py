"""Reading a header of 150,000 tokens, as many merges and 1,000 tensors: MB/s, against passes that do less and a peer.

    ./dev bench header --rounds 5
    ./dev bench header --llama-cpp DIR     a llama.cpp with its headers and libggml-base built somewhere below DIR

The bare scan reads every byte and adds 64-bit words up: what memory gives. The walk reads only each string's length: a chain of
loads of which each waits for the one before, so no reader of this format is faster. `map, read, validate, unmap` is the whole way
from a file in the page cache, which is what the peer does with read(2). Memory is the peak of the C++ heap over the mapping.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

WAYS = {"bare_scan_ns": "bare scan", "walk_lengths_ns": "walk over the lengths", "inspect_ns": "read, validate",
        "map_and_inspect_ns": "map, read, validate, unmap", "llama_cpp_ns": "llama.cpp's reader"}


def build_peer(checkout, folder):
    """Our small program around the reader of a llama.cpp that is there; nothing of llama.cpp itself is compiled."""
    def below(*names):
        found = [path for name in names for path in sorted(pathlib.Path(checkout).rglob(name))]
        return found[0] if found else sys.exit(f"header: there is no {names[0]} below {checkout}; build llama.cpp's ggml there first")

    library = below("libggml-base.a", "libggml-base.so")
    program = folder / "llama_reader"
    source = pathlib.Path(__file__).with_name("llama_reader.cpp")
    subprocess.run(["c++", "-O2", f"-I{below('gguf.h').parent}", f"-I{below('ggml.h').parent}", source, library,
                    f"-Wl,-rpath,{library.parent}", "-pthread", "-o", program], check=True)
    return program


def run_json(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(bench, peer, file, rounds, runs):
    times = {name: [] for name in WAYS if peer or name != "llama_cpp_ns"}
    for _ in range(rounds):
        ours = run_json(bench, "read", file, "--runs", str(runs))
        for name in times:
            times[name] += run_json(peer, file, str(runs)) if name == "llama_cpp_ns" else ours[name]
    return times, ours["header_bytes"], ours["peak_heap_bytes"]


def show(times, header_bytes, heap_bytes):
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"\nA header of {header_bytes / 1e6:.2f} MB ({os.cpu_count()} cores, median of {len(times['inspect_ns'])})")
    print(f"  {'':28} {'ms':>8} {'MB/s':>8} {'of the bare scan':>17}")
    for name, values in times.items():
        print(f"  {WAYS[name]:28} {median[name] / 1e6:8.2f} {header_bytes / median[name] * 1e3:8,.0f} "
              f"{median['bare_scan_ns'] / median[name]:17.2f}")
    print(f"  peak memory over the mapping: {heap_bytes / 1024:,.0f} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="in each round")
    parser.add_argument("--llama-cpp", metavar="DIR")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bench = str(pathlib.Path(arguments.bin).resolve() / "header_bench")
    with tempfile.TemporaryDirectory(prefix="ggufd-") as folder:
        folder = pathlib.Path(folder)
        peer = build_peer(arguments.llama_cpp, folder) if arguments.llama_cpp else None
        file = folder / "large-header.gguf"
        subprocess.run([bench, "write", file], check=True)
        times, header_bytes, heap_bytes = measure(bench, peer, file, arguments.rounds, arguments.runs)
    if arguments.json:
        print(json.dumps({"header_bytes": header_bytes, "peak_heap_bytes": heap_bytes} | times))
    else:
        show(times, header_bytes, heap_bytes)


if __name__ == "__main__":
    main()
