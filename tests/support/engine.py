"""Daemons whose models are run by the fake llama-server (fake_llama_server.py), and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import pathlib

import ggufd
import process
import web

FAKE = pathlib.Path(__file__).resolve().parent / "fake_llama_server.py"
PROMPT = {"prompt": "Once", "n_predict": 3}

# What each status says of the state that the model is in.
STATES = {"loading_model": {"loading", "warming_up"}, "restarting": {"loading", "warming_up", "ready"}, "ready": {"ready"},
          "unloading": {"unloading"}, "unloaded": {"uninitialized"}, "error": {"error"}}


def is_alive(pid):
    """Whether there is such a process and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


class EngineTest(web.HttpTest):
    def config(self, mood_settings=None, binary=FAKE, http=None, **entry):
        """One model with the engine llama-server; `mood_settings` go to llama_server, `entry` to the model."""
        model = self.model()
        config = self.config_for(model.path, model, **{"engine": "llama-server", "n_ctx": 512, **entry})
        config["llama_server"] = {"binary": str(binary), "backoff_initial_ms": 20, "backoff_max_ms": 100,
                                  "health_interval_ms": 20, "stop_grace_s": 2, **(mood_settings or {})}
        return config

    def run_engine(self, mood="", config=None, **settings):
        """A daemon with the fake in that mood, and a client of it that reads from the begin."""
        self.diary_path = self.folder / "diary"
        daemon = self.start(config or self.config(settings), GGML_FAKE_MOOD=mood, GGML_FAKE_DIARY=str(self.diary_path))
        return daemon, self.connect(daemon)

    def ready(self, mood="", config=None, **settings):
        daemon, client = self.run_engine(mood, config, **settings)
        outcome = client.until_outcome()
        self.assert_ready(outcome, daemon)
        self.complete(client, daemon)
        return daemon, client

    def diary(self, event="start"):
        if not self.diary_path.exists():
            return []
        entries = [json.loads(line) for line in self.diary_path.read_text().splitlines()]
        return [entry for entry in entries if entry["event"] == event]

    @property
    def infer_socket(self):
        return self.runtime_dir / "infer.sock"

    def complete_text(self, path=None):
        """The answer to a short completion over the inference socket."""
        connection = web.UnixConnection(path or self.infer_socket)
        try:
            return web.ask(connection, "/completion", "POST", json.dumps(PROMPT), Content_Type="application/json")
        finally:
            connection.close()

    def engine(self, client):
        return client.ask("status")["models"][0]["engine"]

    def wait_for(self, condition, what, daemon=None):
        return process.wait_until(condition, daemon.process if daemon else None, ggufd.LIMIT_S, what)

    def wait_gone(self, *pids):
        self.wait_for(lambda: not any(is_alive(pid) for pid in pids), f"the end of {pids}")

    def runtime_files(self):
        return sorted(os.listdir(self.runtime_dir))

    def check_agreement(self, client, frame):
        """Status, health, readiness, metrics and sockets as they are when `frame` has come: where nothing newer has been
        published meanwhile they must say the same as it. True where that could be checked."""
        before = client.ask("status")
        health = self.ask("/health")
        ready = self.ask("/ready")
        metrics = self.metrics()
        is_published = self.infer_socket.exists()
        after = client.ask("status")
        model = before["models"][0]
        if before["seq"] != frame["seq"] or after["seq"] != frame["seq"] or after["models"][0]["state"] != model["state"]:
            return False
        document = health.json()
        state = model["state"]
        if frame["status"] in STATES:
            self.assertIn(state, STATES[frame["status"]], frame)
            self.assertEqual(model["status"], frame["status"])
        self.assertEqual(document["state"], state)
        self.assertEqual(document["availability"], model["availability"])
        self.assertEqual(document["status"], model["health"])
        self.assertEqual(health.status == 200, state == "ready", frame)
        self.assertEqual(ready.status, health.status)
        self.assertEqual(is_published, state == "ready", frame)
        told = {dict(labels)["state"]: value for (name, labels), value in metrics.items() if name == "ggufd_models"}
        self.assertEqual([name for name, value in told.items() if value], [state], frame)
        code = model["availability"]["code"]
        self.assertEqual(code >= 200 and code < 500, state == "ready", frame)
        self.assertEqual(code == 500, state == "error", frame)
        return True
