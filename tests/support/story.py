"""What the protocol promises about a sequence of events, as checks that a test applies to what it has read.

Each check raises AssertionError with the event that breaks the promise (docs/protocol.md, "Events").
"""

from __future__ import annotations

import datetime
import re

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DIGEST = re.compile(r"[0-9a-f]{64}")
PROGRESS = {"download": "downloaded_bytes", "verify": "verified_bytes", "mmap": "resident_bytes"}
EVENTS_PER_SECOND_MAX = 10
# The ways from checking_local to mmap: in the store, hashed in place, fetched, and each of them with a quarantine.
WAYS_TO_THE_BYTES = (
    [],
    ["verify"],
    ["download", "verify"],
    ["verify", "quarantine", "download", "verify"],
    ["download", "verify", "quarantine", "download", "verify"],
)
SECOND_MISMATCH = ["checking_local", "download", "verify", "quarantine", "download", "verify", "quarantine"]

STATUS_KEYS = {
    "starting": {"version": str, "pid": int},
    "loading_model": {"phase": str},
    "capabilities": {"backend": str, "wire_version": int, "v2": bool, "vision": bool, "audio": bool, "tools": bool,
                     "thinking": bool, "embed": bool, "rerank": bool, "accelerator": str, "gpu_layers": int, "n_ctx": int,
                     "generate": bool},
    "ready": {"load_ms": int},
    "unloading": {"reason": str},
    "unloaded": {"reason": str},
    "error": {"code": str, "message": str},
    "warning": {"code": str, "message": str},
    "draining": {},
}
PHASE_KEYS = {
    "checking_local": {"path": str},
    "download": {"downloaded_bytes": int, "total_bytes": (int, type(None)), "source_url": str, "bytes_per_second": int,
                 "resumed_bytes": int, "connections": int},
    "verify": {"path": str, "verified_bytes": int, "total_bytes": int},
    "quarantine": {"path": str, "expected_sha256": str, "actual_sha256": str, "quarantine_path": str},
    "mmap": {"path": str, "resident_bytes": int, "total_bytes": int, "integrity": str},
    "kv_cache": {"n_ctx": int, "bytes": int, "kv_type_k": str, "kv_type_v": str},
    "engine_start": {"backend": str, "pid": int, "attempt": int},
    "warm_up": {},
}
OPTIONAL_KEYS = {"eta_s": int, "warm_up_ms": int, "infer_socket": str, "retry_in_ms": int, "model": str, "device_name": str,
                 "vram_total_bytes": int}


def _is(value, kind):
    """JSON's true is not an integer, whatever Python thinks."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(value, kind) and not (isinstance(value, bool) and bool not in kinds)


def check_shape(event):
    """The envelope, and every key of the event's status and phase with its type."""
    assert event.get("id") == "admin" and event.get("type") == "status", f"not an event: {event}"
    assert event.get("status") in STATUS_KEYS, f"an unknown status: {event}"
    wanted = dict(STATUS_KEYS[event["status"]])
    if "phase" in event and event["status"] != "error":
        assert event["phase"] in PHASE_KEYS, f"an unknown phase: {event}"
        wanted |= PHASE_KEYS[event["phase"]]
    if event["status"] != "starting" or "seq" in event:  # the one frame that may stand for an event that never was
        wanted |= {"seq": int, "ts": str}
    for key, kind in wanted.items():
        assert key in event, f"{key} is missing: {event}"
        assert _is(event[key], kind), f"{key} has the wrong type: {event}"
    for key, kind in OPTIONAL_KEYS.items():
        assert key not in event or _is(event[key], kind), f"{key} has the wrong type: {event}"
    assert "ts" not in event or TIMESTAMP.fullmatch(event["ts"]), f"ts is not a UTC time with milliseconds: {event}"
    if event["status"] not in ("starting", "draining", "warning"):
        assert "model" in event, f"model is missing: {event}"


def check_sequence(events):
    """seq rises by one from event to event."""
    told = [event for event in events if "seq" in event]
    for before, after in zip(told, told[1:]):
        assert after["seq"] == before["seq"] + 1, f"seq does not follow: {before} then {after}"


def steps(events, model=None):
    """The phases and statuses of one model in order, repetitions and warnings left out."""
    told = []
    for event in events:
        if event["status"] in ("starting", "warning", "draining") or model not in (None, event.get("model")):
            continue
        name = event["phase"] if event["status"] == "loading_model" else event["status"]
        if not told or told[-1] != name:
            told.append(name)
    return told


def bring_ups():
    """Every sequence of steps that leads to ready."""
    for way in WAYS_TO_THE_BYTES:
        for engine in ([], ["engine_start"]):
            for warm_up in ([], ["warm_up"]):
                yield ["checking_local", *way, "mmap", "kv_cache", *engine, *warm_up, "capabilities", "ready"]


def bring_ups():
    """Every sequence of steps that leads to ready."""
    for way in WAYS_TO_THE_BYTES:
        for engine in ([], ["engine_start"]):
            for warm_up in ([], ["warm_up"]):
                yield ["checking_local", *way, "mmap", "kv_cache", *engine, *warm_up, "capabilities", "ready"]


def is_whole(events):
    """Whether the events are all that were published; a client that connects a moment late misses the first of them."""
    return events[0].get("seq") == 1


def check_order(events, model=None):
    """The steps are those of one bring-up, to `ready`, or to an `error` anywhere on the way.

    Where `events` are not whole, their first is what the snapshot said, somewhere on the way."""
    told = steps(events, model)
    failed = told[-1:] == ["error"]
    begun = told[:-1] if failed else told
    for way in [*bring_ups(), SECOND_MISMATCH] if failed else bring_ups():
        for first in range(1 if is_whole(events) else len(way)):
            rest = way[first:]
            if (rest[:len(begun)] if failed else rest) == begun:
                return
    raise AssertionError(f"not the order of a bring-up: {told}")


def runs(events):
    """The progress events, one list for each time that a phase was entered."""
    found, last = [], None
    for event in events:
        if event["status"] == "warning":
            if event["code"] in ("download_restarted", "repairing"):
                last = None
            continue
        phase = event.get("phase") if event["status"] == "loading_model" else None
        if phase in PROGRESS:
            if phase != last:
                found.append([])
            found[-1].append(event)
        last = phase
    return found


def check_progress(events):
    """Within a phase: never backwards, never beyond the total, one total, and an end that is the whole."""
    for run in runs(events):
        key = PROGRESS[run[0]["phase"]]
        for before, after in zip(run, run[1:]):
            assert after[key] >= before[key], f"progress runs backwards: {before} then {after}"
            assert before["total_bytes"] in (None, after["total_bytes"]), f"the total changes: {before} then {after}"
        for event in run:
            assert 0 <= event[key] <= (event["total_bytes"] or 1 << 63), f"more than the whole: {event}"


def check_ends(events):
    """For one successful bring-up: every phase with progress begins with its first event and ends with its last. They
    are one event where there was nothing left to do, as for `verify` after a download that was hashed on the way."""
    whole = is_whole(events)
    for number, run in enumerate(runs(events)):
        key = PROGRESS[run[0]["phase"]]
        assert run[-1][key] == run[-1]["total_bytes"], f"not the last of its phase: {run[-1]}"
        if len(run) > 1 and (number > 0 or whole):
            assert run[0][key] == run[0].get("resumed_bytes", 0), f"not the first of its phase: {run[0]}"


def _seconds(event):
    return datetime.datetime.fromisoformat(event["ts"].replace("Z", "+00:00")).timestamp()


def check_rate(events):
    """At most 10 progress events in any second, the first and the last of each phase apart. Returns how many there were."""
    times = sorted(_seconds(event) for run in runs(events) for event in run[1:-1])
    for first, eleventh in zip(times, times[EVENTS_PER_SECOND_MAX:]):
        # Stamps are cut to milliseconds, so a second may look one shorter than it was.
        assert eleventh - first >= 0.998, f"11 progress events within {eleventh - first:.3f} s"
    return len(times)


def check_all(events, model=None):
    """Everything above, for the events of one bring-up of one model, up to its outcome."""
    for event in events:
        check_shape(event)
    check_sequence(events)
    check_order(events, model)
    check_progress(events)
    check_rate(events)
    if events[-1]["status"] == "ready":
        check_ends(events)
