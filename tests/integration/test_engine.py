"""A model that llama-server runs: how it comes up, what is published, how it is stopped, and that nothing is left of it."""

import os
import signal
import stat
import threading
import unittest

import engine
import story
import web


class ComesUp(engine.EngineTest):
    def test_a_request_through_the_inference_socket_is_answered(self):
        _, client = self.ready()
        answer = self.complete_text()
        self.assertEqual((answer.status, answer.json()["content"]), (200, "word word word"))
        self.assertEqual(stat.S_IMODE(os.stat(self.infer_socket).st_mode), 0o600)
        named = self.complete_text(self.runtime_dir / "infer.tiny.sock")
        self.assertEqual(named.status, 200)
        self.assertEqual(story.steps(client.events),
                         ["checking_local", "verify", "mmap", "kv_cache", "engine_start", "warm_up", "capabilities", "ready"])

    def test_ready_tells_the_warm_up_and_status_the_process(self):
        _, client = self.ready("busy=0.2")
        ready = client.events[-1]
        self.assertGreaterEqual(ready["warm_up_ms"], 200)
        self.assertGreaterEqual(ready["load_ms"], ready["warm_up_ms"])
        told = self.engine(client)
        self.assertEqual((told["backend"], told["pid"], told["restarts"], told["restarts_left"]),
                         ("llama-server", self.diary()[0]["pid"], 0, 3))
        start = next(event for event in client.events if event.get("phase") == "engine_start")
        self.assertEqual((start["backend"], start["pid"], start["attempt"]), ("llama-server", told["pid"], 1))

    def test_without_warm_up_there_is_none(self):
        _, client = self.ready(config=self.config(warm_up=False))
        self.assertNotIn("warm_up", story.steps(client.events))
        self.assertNotIn("warm_up_ms", client.events[-1])
        self.assertIn("--no-warmup", self.diary()[0]["argv"])

    def test_an_api_key_is_used_wherever_it_stands(self):
        keys = self.folder / "keys"
        keys.write_text("\nfirst\nsecond\n")
        for args in (["--api-key", "first,second"], ["--api-key-file", str(keys)]):
            with self.subTest(args=args):
                daemon, client = self.ready(args=args)
                self.assertIn("warm_up_ms", client.events[-1])
                self.assertNotIn("warning", [event["status"] for event in client.events])
                self.stop(daemon)

    def test_the_engine_gets_the_verified_descriptor_and_nothing_else(self):
        self.ready()
        start = self.diary()[0]
        given = {number: target for number, target in start["fds"].items()
                 if number not in ("0", "1", "2") and not target.startswith("/proc/")}
        self.assertEqual(given, {"3": str(self.web / "model.gguf")})
        self.assertIn("/proc/self/fd/3", start["argv"])
        self.assertEqual(start["umask"], 0o077)
        allowed = ("PATH", "HOME", "LD_LIBRARY_PATH", "GGML_", "VK_", "HIP_", "ROCR_", "ROCM_", "HSA_", "CUDA_", "NVIDIA_",
                   "MESA_", "RADV_", "LLAMA_SERVER_ROUTER_PORT", "LC_CTYPE")
        self.assertEqual([name for name in start["environ"] if not name.startswith(allowed)], [])

    def test_progress_of_a_slow_load_is_told_and_never_falls(self):
        _, client = self.ready("slow_load=1")
        percents = [event["loaded_percent"] for event in client.events if "loaded_percent" in event]
        self.assertGreater(len(percents), 2)
        self.assertEqual(percents, sorted(percents))

    def test_a_start_that_says_a_megabyte_is_read_to_its_end(self):
        _, client = self.ready("chatty=1000000")
        self.assertLessEqual(len(self.engine(client)["stderr_tail"]), 4096)

    def test_a_silent_one_is_as_good(self):
        self.ready("silent")
        self.assertEqual(self.complete_text().status, 200)

    def test_loads_at_a_time_are_one_start(self):
        daemon, client = self.run_engine("slow_load=0.3", self.config(load="manual"))
        outcomes = []

        def load():
            with daemon.connect() as other:
                outcomes.append(other.ask("load", wait=True)["state"])

        askers = [threading.Thread(target=load) for _ in range(5)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        self.assertEqual((outcomes, len(self.diary())), (["ready"] * 5, 1))

    def test_what_it_can_do_is_told(self):
        for mood, args, expected in (
                ("vision,audio,tools,thinking", [], {"vision": True, "audio": True, "tools": True, "thinking": True,
                                                      "generate": True, "embed": False, "accelerator": "cpu", "n_ctx": 512}),
                ("embedding", ["--embeddings"], {"embed": True, "generate": False, "vision": False}),
                ("", ["--reranking"], {"rerank": True}),
                ("cuda", [], {"accelerator": "cuda", "gpu_layers": 1})):
            with self.subTest(mood):
                config = self.config({"args": args, "gpu_layers": 1 if mood == "cuda" else 0})
                daemon, client = self.ready(mood, config)
                told = next(event for event in client.events if event["status"] == "capabilities")
                self.assertEqual({key: told[key] for key in expected}, expected)
                self.assertEqual(told["backend"], "llama-server")
                self.stop(daemon)


class OldBuilds(engine.EngineTest):
    def test_without_unix_sockets_bytes_are_carried_and_it_is_said(self):
        for mood in ("old", "no_unix"):
            with self.subTest(mood):
                daemon, client = self.ready(mood)
                self.assertIn("engine_relayed", story.warnings(client.events))
                self.assertEqual(self.complete_text().json()["content"], "word word word")
                self.assertEqual(client.ask("status")["models"][0]["availability"]["code"], 300)
                self.stop(daemon)

    def test_a_build_with_load_modes_is_started_with_what_it_knows(self):
        self.ready("load_mode")
        self.assertEqual(self.complete_text().status, 200)


class Stops(engine.EngineTest):
    def test_unload_ends_the_process_and_its_sockets(self):
        _, client = self.ready()
        pid = self.engine(client)["pid"]
        self.assertEqual(client.ask("unload", wait=True)["state"], "uninitialized")
        self.assertFalse(engine.is_alive(pid))
        self.assertEqual([name for name in self.runtime_files() if "tiny" in name or "infer" in name], [])

    def test_a_request_in_flight_is_finished_first(self):
        daemon, client = self.ready("busy=1", stop_grace_s=10)
        answers = []
        asker = threading.Thread(target=lambda: answers.append(self.complete_text()))
        asker.start()
        path = self.runtime_dir / ".tiny.sock"
        self.wait_for(lambda: any(slot["is_processing"] for slot in self.slots(path)), "a busy slot")
        daemon.signal(signal.SIGTERM)
        client.until(lambda frame: frame.get("status") == "draining")
        asker.join()
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(answers[0].json()["content"], "word word word")

    def slots(self, path):
        connection = web.UnixConnection(path)
        try:
            return web.ask(connection, "/slots").json()
        finally:
            connection.close()

    def test_one_that_ignores_sigterm_is_killed_in_time(self):
        daemon, client = self.ready("ignore_sigterm", stop_grace_s=1)
        pid = self.engine(client)["pid"]
        self.stop(daemon)
        self.assertFalse(engine.is_alive(pid))

    def test_an_exit_code_after_a_stop_that_was_asked_for_is_no_error(self):
        for mood in ("term_exit=134", "term_exit=1", "slow_term=0.3"):
            with self.subTest(mood):
                daemon, client = self.ready(mood)
                self.assertEqual(client.ask("unload", wait=True)["state"], "uninitialized")
                self.assertEqual(client.events[-1]["status"], "unloaded")
                self.assertFalse([event for event in client.events if event["status"] in ("error", "restarting")])
                self.stop(daemon)

    def test_unload_in_the_middle_of_its_load_ends_it(self):
        daemon, client = self.run_engine("hang_at_load")
        start = client.until_phase("engine_start")
        self.assertEqual(client.ask("unload", wait=True)["state"], "uninitialized")
        self.assertFalse(engine.is_alive(start["pid"]))
        self.assertEqual(client.events[-1]["reason"], "cancelled")
        self.stop(daemon)

    def test_nothing_is_left_whichever_way_the_daemon_ends(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how):
                self.diary_path = self.folder / "diary"
                daemon, client = self.ready("grandchild")
                pid = self.engine(client)["pid"]
                session = [int(name) for name in os.listdir("/proc") if name.isdigit() and self.session_of(name) == pid]
                self.assertGreaterEqual(len(session), 3, "the engine, its keeper, its children")
                daemon.signal(how)
                daemon.wait()
                self.wait_gone(*session)

    def session_of(self, pid):
        try:
            return os.getsid(int(pid))
        except OSError:
            return None

    def test_a_daemon_that_follows_a_killed_one_starts_anew(self):
        daemon, client = self.ready()
        pid = self.engine(client)["pid"]
        daemon.kill()
        self.assert_ready(self.connect(self.start(self.config(), GGML_FAKE_DIARY=str(self.diary_path))).until_outcome(), daemon)
        self.wait_gone(pid)
        self.assertEqual(self.complete_text().status, 200)

    def test_without_its_keeper_an_engine_still_ends_with_its_daemon(self):
        daemon, client = self.ready("ignore_sigterm")
        pid = self.engine(client)["pid"]
        keepers = [int(name) for name in os.listdir("/proc")
                   if name.isdigit() and self.session_of(name) == pid and int(name) != pid]
        for keeper in keepers:
            os.kill(keeper, signal.SIGKILL)
        daemon.kill()
        self.wait_gone(pid)


class Idle(engine.EngineTest):
    def test_an_engine_that_nobody_uses_is_unloaded_and_one_that_is_used_is_not(self):
        daemon, client = self.ready(config=self.config(idle_unload_s=3))
        held = web.UnixConnection(self.infer_socket)
        held.connect()
        self.addCleanup(held.close)
        with self.assertRaises((TimeoutError, AssertionError)):
            client.until_status("unloading", limit_s=5)
        held.close()
        unloading = client.until_status("unloading")
        self.assertEqual(unloading["reason"], "idle")
        client.until_status("unloaded")
        self.stop(daemon)


class Programs(engine.EngineTest):
    def test_a_program_that_is_missing_is_told_before_anything_else_is_done(self):
        for binary in ("/nowhere/llama-server", "llama-server-of-nobody"):
            with self.subTest(binary):
                daemon, client = self.run_engine(config=self.config(binary=binary))
                outcome = client.until_outcome()
                self.assert_error(outcome, "engine_not_found")
                self.assertIn(binary, outcome["message"])
                self.assertEqual(client.ask("status")["models"][0]["health"], "unhealthy")
                self.stop(daemon)

    def test_a_program_that_is_no_llama_server_is_refused(self):
        daemon, client = self.run_engine(config=self.config(binary="/bin/true"))
        self.assert_error(client.until_outcome(), "engine_failed")
        self.stop(daemon)

    def test_one_whose_help_is_none_is_refused(self):
        daemon, client = self.run_engine("no_help")
        self.assert_error(client.until_outcome(), "engine_failed")
        self.stop(daemon)

    def test_a_version_that_cannot_be_read_is_no_reason(self):
        self.ready("bad_version")

    def test_auto_takes_it_where_it_is_and_says_where_it_is_not(self):
        daemon, client = self.ready(config=self.config(engine="auto"))
        self.assertEqual(self.engine(client)["backend"], "llama-server")
        self.stop(daemon)
        daemon, client = self.ready(config=self.config(engine="auto", binary="/nowhere/llama-server"))
        self.assertEqual(self.engine(client)["backend"], "resident")
        self.assertIn("engine_resident", story.warnings(client.events))
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
