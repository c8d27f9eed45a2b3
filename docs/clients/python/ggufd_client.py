"""Follows ggufd and asks it for things, with Python's standard library only. Copy this file.
    python3 ggufd_client.py [load|unload|reload|cancel [MODEL]]     without a request: what happens, until Ctrl-C
"""
import json, os, socket, sys, time

STATUSES = {"loading_model", "ready", "restarting", "unloading", "unloaded", "error"}  # a model has one of these
NEWS = {"starting", "capabilities", "warning", "draining", "lagged"}  # these change no model's status
PHASES = {"checking_local", "download", "verify", "quarantine", "mmap", "kv_cache", "engine_start", "warm_up"}
DONE = ("downloaded_bytes", "verified_bytes", "resident_bytes", "allocated_bytes")

def describe(event):
    if "code" in event: return f"{event['status']} {event['code']}: {event['message']}"
    text = event["phase"] if event.get("phase") in PHASES else event["status"]
    done, total = next((event[key] for key in DONE if key in event), None), event.get("total_bytes", event.get("bytes"))
    return text if done is None else f"{text} {100 * done // total}%" if total else f"{text} {done // 1_000_000} MB"

class Ggufd:
    def __init__(self, path=None):
        xdg = os.environ.get("XDG_RUNTIME_DIR")
        folder = os.environ.get("GGUFD_RUNTIME_DIR") or (f"{xdg}/ggufd" if xdg else f"/tmp/ggufd-{os.getuid()}")
        self.path, self.models = path or f"{folder}/admin.sock", {}  # models: of each, the last event that told its status

    def ask(self, verb, **fields):  # gives every frame that comes on the request's connection; the answer's id is "1"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            connection.sendall(json.dumps({"id": "1", "type": verb, **fields}).encode() + b"\n")
            yield from map(json.loads, connection.makefile("rb"))

    def events(self):
        """Every event, across restarts of the daemon; None where there is no daemon."""
        seq, pause_s = None, 0.25
        while True:
            is_new = seq is None  # later, what comes before the answer is a state that is told once more
            try:
                for frame in self.ask("subscribe", since=seq):
                    is_new, pause_s = is_new or frame["id"] == "1", 0.25
                    if frame["id"] == "1": yield {"status": "connected"}
                    if frame["type"] != "status" or frame["status"] not in STATUSES | NEWS: continue
                    if frame["status"] in STATUSES: self.models[frame["model"]] = frame
                    if is_new:
                        seq = None if frame["status"] == "lagged" else max(seq or 0, frame.get("seq", 0))
                        yield frame
            except (OSError, ValueError): pass
            self.models.clear()
            yield None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5)

def main(verb=None, model=None):
    if verb:
        try: sys.exit(next(frame for frame in Ggufd().ask(verb, model=model, wait=True) if frame["id"] == "1").get("message"))
        except (OSError, StopIteration) as error: sys.exit(f"there is no daemon: {error}")
    shown = {}
    for event in Ggufd().events():
        name, text = (event.get("model", "ggufd"), describe(event)) if event else ("ggufd", "no daemon")
        if shown.get(name) != text: print(f"{name}: {text}", flush=True)
        shown[name] = text

if __name__ == "__main__": main(*sys.argv[1:])
