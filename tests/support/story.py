"""What the protocol promises about a sequence of events, as checks that a test applies to what it has read.

Each check raises AssertionError with the event that breaks the promise (docs/protocol.md, "Events").
"""

from __future__ import annotations

import dataclasses
import datetime
import re

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DIGEST = re.compile(r"[0-9a-f]{64}")
PROGRESS = {"download": "downloaded_bytes", "verify": "verified_bytes", "mmap": "resident_bytes"}
EVENTS_PER_SECOND_MAX = 10
# These let progress begin anew.
SETBACKS = ("download_restarted", "repairing")

STATUS_KEYS = {
    "starting": {"version": str, "pid": int},
    "loading_model": {"phase": str},
    "capabilities": {"backend": str, "wire_version": int, "v2": bool, "vision": bool, "audio": bool, "tools": bool,
                     "thinking": bool, "embed": bool, "rerank": bool, "accelerator": str, "gpu_layers": int, "n_ctx": int,
                     "generate": bool},
    "ready": {"load_ms": int},
    "restarting": {"reason": str},
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
                 "vram_total_bytes": int, "attempt": int, "restarts_left": int, "loaded_percent": int, "kv_bytes": int}


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


def of_model(events, model=None):
    """Those of one model; all where none is named."""
    return [event for event in events if model in (None, event.get("model"))]


def steps(events, model=None):
    """The phases and statuses of one model in order, repetitions and warnings left out."""
    told = []
    for event in of_model(events, model):
        if event["status"] in ("starting", "warning", "draining"):
            continue
        name = event["phase"] if event["status"] == "loading_model" else event["status"]
        if not told or told[-1] != name:
            told.append(name)
    return told


def warnings(events, model=None):
    """The codes of the warnings, in order."""
    return [event["code"] for event in of_model(events, model) if event["status"] == "warning"]


def _steps_and_repairs(events, model):
    """The steps; after a `repairing` they begin anew, so that two phases `download` are two steps."""
    parts = [[]]
    for event in of_model(events, model):
        if event["status"] == "warning" and event["code"] == "repairing":
            parts.append([])
        parts[-1].append(event)
    told = steps(parts[0])
    for part in parts[1:]:
        told += ["repairing", *steps(part)]
    return told


def ways_to_the_bytes():
    """Every sequence of steps from checking_local to mmap, and every one that ends in the final quarantine."""
    fetched = ["download", "verify"]
    # The digest is known when the last byte is there: whether `verify` is told before the repair is open.
    begun = [[*first, "repairing"] for first in (fetched, ["download"])]
    repaired = [fetched, *([*first, *fetched] for first in begun)]
    # A repair that finds nothing that differs has nothing to hash again.
    given_up = [*repaired, *([*first, "download"] for first in begun)]
    good = [[], ["verify"], *repaired, *(["verify", "quarantine", *again] for again in repaired)]
    good += [[*bad, "quarantine", *again] for bad in given_up for again in repaired]
    bad = [[*first, "quarantine", *again, "quarantine"] for first in [["verify"], *given_up] for again in given_up]
    return good, bad


def stories():
    """(every sequence of steps that leads to ready, every one that leads to a second mismatch)."""
    good, bad = ways_to_the_bytes()
    ready = [["checking_local", *way, "mmap", "kv_cache", *engine, *warm_up, "capabilities", "ready"]
             for way in good for engine in ([], ["engine_start"]) for warm_up in ([], ["warm_up"])]
    return ready, [["checking_local", *way] for way in bad]


def is_whole(events):
    """Whether the events are all that were published; a client that connects a moment late misses the first of them."""
    return events[0].get("seq") == 1


def check_order(events, model=None):
    """The steps are those of one bring-up, to `ready`, or to an `error` or `unloaded` anywhere on the way.

    Where `events` are not whole, their first is what the snapshot said, somewhere on the way."""
    told = _steps_and_repairs(events, model)
    begun = list(told)
    while begun and begun[-1] in ("error", "unloading", "unloaded"):
        begun.pop()
    failed = begun != told
    ready, mismatches = stories()
    for way in [*ready, *mismatches] if failed else ready:
        for first in range(1 if is_whole(events) else len(way)):
            rest = way[first:]
            if (rest[:len(begun)] if failed else rest) == begun:
                return
    raise AssertionError(f"not the order of a bring-up: {told}")


@dataclasses.dataclass
class Run:
    """The progress events of one phase, entered once."""

    events: list[dict]
    was_set_back: bool = False  # a warning ended it
    follows_setback: bool = False  # so it begins with whatever is still good, and has come since the warning

    @property
    def key(self):
        return PROGRESS[self.events[0]["phase"]]


def runs(events, model=None):
    """Each time that a phase with progress was entered; a setback makes what follows a new time."""
    found, last, follows_setback = [], None, False
    for event in of_model(events, model):
        if event["status"] == "warning":
            if event["code"] in SETBACKS:
                if last in PROGRESS:
                    found[-1].was_set_back = True
                last = None
                follows_setback = True
            continue
        phase = event.get("phase") if event["status"] == "loading_model" else None
        if phase in PROGRESS:
            if phase != last:
                found.append(Run([], follows_setback=follows_setback))
                follows_setback = False
            found[-1].events.append(event)
        last = phase
    return found


def check_progress(events, model=None):
    """Within a phase: never backwards, never beyond the total, one total."""
    for run in runs(events, model):
        for before, after in zip(run.events, run.events[1:]):
            assert after[run.key] >= before[run.key], f"progress runs backwards: {before} then {after}"
            assert before["total_bytes"] in (None, after["total_bytes"]), f"the total changes: {before} then {after}"
        for event in run.events:
            assert 0 <= event[run.key] <= (event["total_bytes"] or 1 << 63), f"more than the whole: {event}"


def check_ends(events, model=None):
    """For one successful bring-up: every phase with progress begins with its first event and ends with its last. They
    are one event where there was nothing left to do, as for `verify` after a download that was hashed on the way."""
    whole = is_whole(events)
    for number, run in enumerate(runs(events, model)):
        first, last = run.events[0], run.events[-1]
        if not run.was_set_back:
            assert last[run.key] == last["total_bytes"], f"not the last of its phase: {last}"
        if len(run.events) > 1 and (number > 0 or whole) and not run.follows_setback:
            assert first[run.key] in (0, first.get("resumed_bytes", 0)), f"not the first of its phase: {first}"


def seconds(event):
    """When it was published, since 1970."""
    return datetime.datetime.fromisoformat(event["ts"].replace("Z", "+00:00")).timestamp()


def check_rate(events, model=None):
    """At most 10 progress events in any second, the first and the last of each phase apart. Returns how many there were."""
    times = sorted(seconds(event) for run in runs(events, model) for event in run.events[1:-1])
    for first, eleventh in zip(times, times[EVENTS_PER_SECOND_MAX:]):
        # Stamps are cut to milliseconds, so a second may look one shorter than it was.
        assert eleventh - first >= 0.998, f"11 progress events within {eleventh - first:.3f} s"
    return len(times)


def check_models(events, models):
    """Everything above, for the events of one bring-up of each of `models`, up to its outcome."""
    for event in events:
        check_shape(event)
    check_sequence(events)
    for model in models:
        check_order(events, model)
        check_progress(events, model)
        check_rate(events, model)
        if of_model(events, model)[-1]["status"] == "ready":
            check_ends(events, model)


def check_all(events, model=None):
    """The same for one model."""
    check_models(events, [model])
