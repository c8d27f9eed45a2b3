"""A model's memory as the outside sees it: budget, residency, files that change under it, idleness."""

import os
import pathlib
import re
import unittest

import ggufd

EXBI = 1 << 50


class Memory(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()

    def config(self, *names, headroom=0, **keys):
        models = [{"name": name, "source": str(self.file.path), "engine": "resident", "n_ctx": 512} | keys
                  for name in names or ("m",)]
        return {"models": models, "memory_headroom_bytes": headroom}

    def ready(self, config):
        daemon = self.start(config)
        client = self.connect(daemon)
        for _ in config["models"]:
            self.assert_ready(client.until_outcome(), daemon)
        self.complete(client, daemon)
        return daemon, client

    def test_all_pages_are_in_memory_when_it_says_so(self):
        daemon, client = self.ready(self.config())
        told = self.phases_of(client, "mmap")
        self.assertEqual(told[0]["resident_bytes"], 0)
        self.assertEqual(told[-1]["resident_bytes"], self.file.size_bytes)
        caches = self.phases_of(client, "kv_cache")
        self.assertEqual(caches[-1]["allocated_bytes"], caches[-1]["bytes"])
        status = client.ask("status")["models"][0]
        self.assertEqual(status["memory"], {"mapped": self.file.size_bytes, "kv": caches[-1]["bytes"]})
        plan = client.ask("plan", model="m")
        self.assertEqual(plan["kv_bytes"], caches[-1]["bytes"])
        self.assertTrue(plan["fits"])
        self.stop(daemon)

    def test_too_little_is_told_with_the_numbers(self):
        daemon = self.start(self.config(headroom=EXBI))
        client = self.connect(daemon)
        outcome = client.until_outcome()
        self.assertEqual((outcome["status"], outcome["code"]), ("error", "out_of_memory_budget"))
        for word in ("weights", "MemAvailable", "headroom"):
            self.assertIn(word, outcome["message"])
        plan = client.ask("plan", model="m")
        self.assertEqual((plan["fits"], plan["available_bytes"], plan["largest_n_ctx"]), (False, 0, 0))
        self.assertEqual(client.ask("ping")["type"], "response")
        self.stop(daemon)

    def test_a_plan_with_other_settings(self):
        daemon, client = self.ready(self.config())
        usual = client.ask("plan", model="m")
        larger = client.ask("plan", model="m", n_ctx=1024)
        self.assertEqual(larger["kv_bytes"], 2 * usual["kv_bytes"])
        quantized = client.ask("plan", model="m", kv_type_k="q8_0", kv_type_v="q8_0")
        self.assertEqual(quantized["kv_bytes"] * 32, usual["kv_bytes"] * 17)
        self.assertEqual(client.ask("plan", model="m", kv_type_k="q3_K")["code"], "bad_field")
        self.assertEqual(client.ask("plan", model="m", n_seq=0)["code"], "bad_field")
        self.assertEqual(client.ask("plan", model="nobody")["code"], "unknown_model")
        self.assertEqual(client.ask("plan")["code"], "missing_field")
        self.stop(daemon)

    def test_a_file_that_is_cut_under_a_model(self):
        other = self.model("other.gguf", seed=2)
        config = self.config("m")
        config["models"].append(config["models"][0] | {"name": "other", "source": str(other.path)})
        daemon, client = self.ready(config)
        os.truncate(self.file.path, self.file.size_bytes // 2)
        failed = client.until(lambda event: event["status"] == "error")
        self.assertEqual((failed["model"], failed["code"]), ("m", "map_failed"))
        self.assertIn(str(self.file.path), failed["message"])
        states = {model["name"]: model["state"] for model in client.ask("status")["models"]}
        self.assertEqual(states, {"m": "error", "other": "ready"})
        self.stop(daemon)

    def test_a_model_that_nobody_uses_is_unloaded(self):
        daemon, client = self.ready(self.config(idle_unload_s=1))
        unloaded = client.until(lambda event: event["status"] == "unloaded")
        self.assertEqual(unloaded["reason"], "idle")
        self.assertEqual(client.ask("load", model="m", wait=True)["state"], "ready")
        self.stop(daemon)

    def test_mlock(self):
        daemon, client = self.ready(self.config(mlock=True))
        status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
        locked_kib = int(re.search(r"VmLck:\s+(\d+) kB", status)[1])
        warnings = [event for event in client.events if event["status"] == "warning"]
        if warnings:  # the system's limit is smaller than the model
            self.assertEqual([event["code"] for event in warnings], ["mlock_refused"])
            self.assertIn("RLIMIT_MEMLOCK", warnings[0]["message"])
        else:
            self.assertGreaterEqual(locked_kib * 1024, self.file.size_bytes)
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
