"""What the tests of reloads share: two models in place, another configuration, and whether one of them was touched."""

from __future__ import annotations

import json
import socket

import ggufd
import story
import web

AGAIN = ["restarting", "restarting:mmap", "restarting:kv_cache", "capabilities", "ready"]


def told(events, model):
    """"restarting:mmap", "warning:reload_failed", "ready", … of one model, what follows on itself once."""
    lines = []
    for event in story.of_model(events, model):
        detail = {"warning": event.get("code"), "error": event.get("code")}.get(event["status"], event.get("phase"))
        line = event["status"] + (f":{detail}" if detail else "")
        if not lines or lines[-1] != line:
            lines.append(line)
    return lines


class ReloadTest(web.HttpTest):
    """Two models, used in place: "one", the default one, and "two"."""

    def setUp(self):
        super().setUp()
        self.files = {name: self.model(f"{name}.gguf", size_mb=size_mb, seed=seed)
                      for seed, (name, size_mb) in enumerate((("one", 2), ("two", 2), ("three", 3)), 1)}
        self.entries = [self.entry("one"), self.entry("two")]

    def entry(self, name, file=None, **more):
        path = self.files[file or name].path
        return {"name": name, "source": str(path), "engine": "resident", "n_ctx": 256, **more}

    def config(self, **more):
        return {"models": self.entries, "memory_headroom_bytes": 0, "fetch": {"retries": 1}, **more}

    def serve(self, **more):
        self.daemon = self.start(self.config(**more))
        self.client = self.connect(self.daemon)
        for _ in self.entries:
            self.client.until_status("ready", "error")
        self.client.ask("ping")
        self.client.events.clear()

    def write(self, **more):
        text = json.dumps(self.config(**more))
        new = self.daemon.config_file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.daemon.config_file)

    def reload(self, client=None, **parameters):
        answer = (client or self.client).ask("reload", **parameters)
        self.assertEqual(answer["type"], "response", answer)
        return answer

    def model_status(self, name):
        [found] = self.client.ask("status", model=name)["models"]
        return found

    def names(self):
        return [model["name"] for model in self.client.ask("status")["models"]]

    def told(self, name):
        return told(self.client.events, name)

    def line(self, name="infer.sock"):
        """What an inference socket says of the model behind it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ggufd.LIMIT_S)
            client.connect(str(self.runtime_dir / name))
            with client.makefile() as lines:
                return json.loads(lines.readline())

    def sockets(self):
        return sorted(path.name for path in self.runtime_dir.glob("infer*"))

    def untouched(self, name):
        """All that changes where a model is touched."""
        status = self.model_status(name)
        return status["since"], status["load_count"], (self.runtime_dir / f"infer.{name}.sock").stat().st_ino

    def snapshot_models(self):
        with self.daemon.connect() as late:
            late.ask("ping")
            return {event.get("model") for event in late.events}
