"""A real llama-server, where LLAMA_SERVER names one: the tiny model really answers, is killed, and answers again.

    LLAMA_SERVER=/opt/llama.cpp/llama-server GGUFD_BIN_DIR=build/release/bin PYTHONPATH=tests/support \\
        python3 tests/integration/test_real_llama_server.py -v
"""

import json
import os
import signal
import subprocess
import unittest

import engine
import ggufd
import story
import web

LLAMA_SERVER = os.environ.get("LLAMA_SERVER", "")


@unittest.skipUnless(LLAMA_SERVER, "LLAMA_SERVER names no real llama-server: nothing of this file has been tried")
class RealServer(engine.EngineTest):
    def runnable(self, kind, **entry):
        path = self.web / f"{kind}.gguf"
        subprocess.run([ggufd.bin_dir() / "make_gguf", path, "--runnable", kind], check=True)
        model = ggufd.model_file(path)
        config = self.config_for(model.path, model, **{"engine": "llama-server", "n_ctx": 256, **entry})
        # One that does not end by itself when it is told to is noticed by the tests' own time limits.
        config["llama_server"] = {"binary": LLAMA_SERVER, "backoff_initial_ms": 50, "threads": 1, "stop_grace_s": 600}
        return config

    def come_up(self, config):
        daemon = self.start(config)
        client = self.connect(daemon)
        outcome = client.until_outcome()
        self.assert_ready(outcome, daemon)
        self.complete(client, daemon)
        return daemon, client

    def test_it_answers_is_killed_and_answers_again_and_nobody_disagrees(self):
        daemon = self.start(self.runnable("chat"))
        client = self.connect(daemon)
        asker = self.connect(daemon)
        checked = self.follow(client, asker, "ready")
        self.assertEqual(story.steps(client.events)[-6:],
                         ["mmap", "kv_cache", "engine_start", "warm_up", "capabilities", "ready"])
        self.check_completion()
        first = self.engine(asker)["pid"]
        os.kill(first, signal.SIGKILL)
        checked |= self.follow(client, asker, "restarting") | self.follow(client, asker, "ready")
        self.check_completion()
        self.assertNotEqual(self.engine(asker)["pid"], first)
        self.assertLessEqual({"ready", "restarting"}, checked)
        pid = self.engine(asker)["pid"]
        self.stop(daemon)
        self.assertFalse(engine.is_alive(pid))

    def follow(self, client, asker, until):
        checked = set()
        while True:
            frame = client.read_frame()
            self.assertIsNotNone(frame)
            if frame.get("type") == "status" and "seq" in frame and self.check_agreement(asker, frame):
                checked.add(frame["status"])
            if frame.get("status") == until:
                return checked

    def check_completion(self):
        answer = self.complete_text()
        self.assertEqual(answer.status, 200, answer.text)
        self.assertIn("content", answer.json())

    def test_a_chat_is_answered_as_a_stream(self):
        _, client = self.come_up(self.runnable("chat"))
        connection = web.UnixConnection(self.infer_socket)
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "stream": True}
        answer = web.ask(connection, "/v1/chat/completions", "POST", json.dumps(question), Content_Type="application/json")
        connection.close()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.text.rstrip().endswith("data: [DONE]"), answer.text[-200:])

    def test_what_it_says_of_itself_is_told(self):
        _, client = self.come_up(self.runnable("chat"))
        told = next(event for event in client.events if event["status"] == "capabilities")
        self.assertEqual((told["backend"], told["accelerator"], told["generate"], told["embed"], told["n_ctx"]),
                         ("llama-server", "cpu", True, False, 256))
        starts = [event for event in client.events if event.get("phase") == "engine_start"]
        kv = next(event["bytes"] for event in client.events if event.get("phase") == "kv_cache")
        said = [event["kv_bytes"] for event in starts if "kv_bytes" in event]
        self.assertTrue(said, "it says how large its KV cache is")
        self.assertAlmostEqual(said[-1], kv, delta=max(kv * 0.02, 20_000))

    def test_an_embedding_model_is_warmed_up_with_an_embedding(self):
        _, client = self.come_up(self.runnable("embedding"))
        told = next(event for event in client.events if event["status"] == "capabilities")
        self.assertEqual((told["embed"], told["generate"]), (True, False))
        connection = web.UnixConnection(self.infer_socket)
        answer = web.ask(connection, "/v1/embeddings", "POST", json.dumps({"input": "Hello"}), Content_Type="application/json")
        connection.close()
        self.assertEqual(answer.status, 200, answer.text)
        self.assertGreater(len(answer.json()["data"][0]["embedding"]), 1)

    def test_a_model_that_it_refuses_is_not_tried_again(self):
        config = self.runnable("chat")
        config["llama_server"]["args"] = ["--mmproj", "/nowhere.gguf"]
        daemon = self.start(config)
        client = self.connect(daemon)
        error = client.until_outcome()
        self.assertEqual(error["status"], "error", error)
        self.assertIn(error["code"], ("engine_failed", "engine_unhealthy"))


if __name__ == "__main__":
    unittest.main()
