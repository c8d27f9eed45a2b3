"""A program that waits for a model, as a plugin in Python would: the standard library and docs/protocol.md, nothing of ours.

    reader.py SOCKET watch    reads up to `ready`
    reader.py SOCKET ask      sends three requests in one write, reads their answers and the events that were replayed

Prints what it saw as one line of JSON. Exit code 1: the connection ended too soon; 2: a value has the wrong type.
"""

import json
import socket
import sys

INTEGERS = {"seq", "pid", "downloaded_bytes", "bytes_per_second", "eta_s", "resumed_bytes", "connections", "verified_bytes",
            "resident_bytes", "n_ctx", "bytes", "allocated_bytes", "attempt", "loaded_percent", "kv_bytes",
            "wire_version", "gpu_layers",
            "vram_total_bytes", "load_ms", "warm_up_ms", "restarts_left", "retry_in_ms", "missed", "protocol", "uptime_s",
            "subscribers"}
BOOLEANS = {"v2", "vision", "audio", "tools", "thinking", "embed", "rerank", "generate"}
STRINGS = {"id", "type", "status", "phase", "model", "ts", "path", "source_url", "integrity", "kv_type_k", "kv_type_v",
           "backend", "accelerator", "device_name", "version", "reason", "code", "message", "infer_socket",
           "expected_sha256", "actual_sha256", "quarantine_path"}


def check(frame):
    for key, value in frame.items():
        kind = type(value)  # exactly: True is an int for isinstance, and 1.0 == 1
        if ((key in INTEGERS and kind is not int) or (key in BOOLEANS and kind is not bool)
                or (key in STRINGS and kind is not str) or (key == "total_bytes" and kind not in (int, type(None)))):
            print(f"{key} has the wrong type: {frame}", file=sys.stderr)
            sys.exit(2)
    for key in ("id", "type"):
        if key not in frame:
            print(f"{key} is missing: {frame}", file=sys.stderr)
            sys.exit(2)


def frames(stream):
    for line in stream:
        frame = json.loads(line)
        check(frame)
        yield frame
    print("the connection ended too soon", file=sys.stderr)
    sys.exit(1)


def name_of(event):
    return event.get("phase") or event["status"]


def watch(stream):
    seen = {"seqs": [], "names": [], "totals": []}
    for event in frames(stream):
        seen["seqs"].append(event.get("seq"))
        seen["names"].append(name_of(event))
        if event.get("phase") == "download":
            seen["totals"].append(event["total_bytes"])
        if event["status"] == "ready":
            return seen


def ask(connection, stream):
    requests = ({"id": "s", "type": "status"}, {"id": "p", "type": "ping"}, {"id": "b", "type": "subscribe", "since": 0})
    connection.sendall("".join(json.dumps(request) + "\n" for request in requests).encode())
    answers, seqs, names = {}, [], []
    for frame in frames(stream):
        if frame["type"] != "status":
            answers[frame["id"]] = frame
        elif "b" in answers:
            seqs.append(frame["seq"])
            names.append(name_of(frame))
        if len(answers) == len(requests) and seqs and seqs[-1] == answers["b"]["seq"]:
            return {"answers": answers, "seqs": seqs, "names": names}


def main():
    path, mode = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        stream = connection.makefile("r", encoding="utf-8", newline="\n")
        print(json.dumps(ask(connection, stream) if mode == "ask" else watch(stream)))


main()
