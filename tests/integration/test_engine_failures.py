"""An engine that fails, in every way that it can: what is told, what is tried again, what is not, and what stays true."""

import os
import signal
import socket
import unittest

import engine
import story
import web


class Restarts(engine.EngineTest):
    def test_a_killed_engine_comes_back_and_everyone_is_told_why(self):
        daemon, client = self.ready()
        first = self.engine(client)["pid"]
        os.kill(first, signal.SIGKILL)
        down = client.until_status("restarting")
        self.assertEqual((down["reason"], down["attempt"], down["restarts_left"], "phase" in down), ("engine_exit", 2, 2, False))
        start = client.until(lambda frame: frame.get("phase") == "engine_start")
        self.assertEqual((start["status"], start["attempt"], start["reason"]), ("restarting", 2, "engine_exit"))
        self.assertNotEqual(start["pid"], first)
        client.until_status("ready")
        self.assertEqual(story.steps(client.events[-4:]), ["restarting", "capabilities", "ready"])
        self.assertEqual(self.complete_text().status, 200)
        told = self.engine(client)
        self.assertEqual((told["restarts"], told["restarts_left"]), (1, 2))
        self.assertIn("signal 9", told["last_exit"])
        model = client.ask("status")["models"][0]
        self.assertEqual((model["load_count"], model["health"]), (1, "ok"))

    def test_connections_of_before_end_and_nobody_new_gets_in_until_it_is_back(self):
        daemon, client = self.ready("slow_load=0.5")
        held = web.UnixConnection(self.infer_socket)
        held.connect()
        self.addCleanup(held.close)
        os.kill(self.engine(client)["pid"], signal.SIGKILL)
        client.until_status("restarting")
        self.assertEqual(held.sock.recv(1), b"")
        with self.assertRaises(FileNotFoundError):
            self.complete_text()
        client.until_status("ready")
        self.assertEqual(self.complete_text().status, 200)

    def test_a_budget_that_is_spent_is_an_error_and_the_next_load_has_a_full_one(self):
        daemon, client = self.run_engine("flap=100", restart_max=2)
        error = client.until_status("error")
        self.complete(client, daemon)
        self.assert_error(error, "engine_unhealthy")
        self.assertNotIn("retry_in_ms", error)
        downs = [event for event in client.events if event["status"] == "restarting" and "phase" not in event]
        self.assertEqual([(event["attempt"], event["restarts_left"]) for event in downs], [(2, 1), (3, 0)])
        self.assertEqual(len(self.diary()), 3)
        health = self.ask("/health").json()
        self.assertEqual((health["status"], health["warm_up_state"], health["availability"]["code"]),
                         ("unhealthy", "unhealthy", 500))
        told = self.engine(client)
        self.assertEqual((told["restarts"], told["restarts_left"]), (2, 0))
        self.assertTrue(told["stderr_tail"])
        client.ask("load")
        self.assertEqual(client.until_status("restarting")["restarts_left"], 1)

    def test_an_uptime_that_is_long_enough_gives_the_budget_back(self):
        daemon, client = self.ready(restart_max=1, min_stable_uptime_s=0)
        for _ in range(3):
            os.kill(self.engine(client)["pid"], signal.SIGKILL)
            self.assertEqual(client.until_status("restarting")["restarts_left"], 0)
            client.until_status("ready")

    def test_the_back_off_doubles(self):
        daemon, client = self.run_engine("exit_at_start=3", restart_max=3, backoff_initial_ms=100, backoff_max_ms=200)
        self.assert_error(client.until_status("error"), "engine_unhealthy")
        times = [entry["time"] for entry in self.diary()]
        pauses = [later - earlier for earlier, later in zip(times, times[1:])]
        for pause, wanted in zip(pauses, (0.1, 0.2, 0.2)):
            self.assertGreaterEqual(pause, wanted)

    def test_unload_and_shutdown_during_the_back_off_end_it(self):
        daemon, client = self.run_engine("exit_at_start", backoff_initial_ms=60_000, backoff_max_ms=60_000)
        client.until_status("restarting")
        self.assertEqual(client.ask("load")["state"], "ready")
        self.assertEqual(client.ask("unload", wait=True)["state"], "uninitialized")
        client.ask("load")
        client.until_status("restarting")
        self.stop(daemon)
        self.assertEqual(len(self.diary()), 2)


class Crashes(engine.EngineTest):
    def test_a_crash_while_it_loads_is_told_with_its_signal(self):
        daemon, client = self.run_engine("crash_at_load=139", restart_max=0)
        error = client.until_status("error")
        self.assert_error(error, "engine_unhealthy")
        self.assertIn("signal 11", error["message"])
        self.assertEqual(error["phase"], "engine_start")

    def test_a_crash_once_ready_is_a_restart(self):
        daemon, client = self.run_engine("crash_after=0.1:134", restart_max=1)
        client.until_status("ready")
        self.assertEqual(client.until_status("restarting")["reason"], "engine_exit")
        self.assert_error(client.until_status("error"), "engine_unhealthy")

    def test_what_another_start_cannot_mend_is_not_tried_again(self):
        for mood, word in (("bad_model", "unknown model architecture"), ("cuda_oom", "out of memory"),
                           ("host_oom", "failed to allocate"), ("fail_warm_up", "warm-up")):
            with self.subTest(mood):
                daemon, client = self.run_engine(mood)
                error = client.until_outcome()
                self.complete(client, daemon)
                self.assert_error(error, "engine_failed")
                self.assertIn(word, error["message"])
                self.assertNotIn("restarting", story.steps(client.events))
                self.assertEqual(len(self.diary()), 1)
                self.assertEqual(error["phase"], "warm_up" if mood == "fail_warm_up" else "engine_start")
                self.assertTrue(self.engine(client)["stderr_tail"])
                self.stop(daemon)
                self.diary_path.unlink()

    def test_one_that_hangs_or_is_never_well_is_given_up_in_time(self):
        for mood in ("hang_at_load", "never_ready", "bad_health=garbage", "bad_health=empty", "bad_health=500",
                     "bad_health=not_ok", "bad_health=huge", "bad_health=cut"):
            with self.subTest(mood):
                daemon, client = self.run_engine(mood, restart_max=1, startup_timeout_s=1)
                self.assertEqual(client.until_status("restarting")["reason"], "engine_unresponsive")
                error = client.until_status("error")
                self.assert_error(error, "engine_unhealthy")
                self.assertIn("startup_timeout_s", error["message"])
                self.stop(daemon)

    def test_a_load_that_takes_too_long_is_that(self):
        daemon, client = self.run_engine(config=self.config({"stop_grace_s": 1}, load_timeout_s=1), mood="hang_at_load")
        error = client.until_outcome()
        self.assert_error(error, "load_timeout")
        self.wait_gone(self.diary()[0]["pid"])

    def test_another_model_is_not_concerned(self):
        config = self.config(http={"tcp": ""})
        other = self.model("other.gguf", seed=2)
        config["models"].append({"name": "other", "source": str(other.path), "sha256": other.sha256, "engine": "resident"})
        daemon, client = self.ready_both(config)
        since = self.of(client, "other")["since"]
        os.kill(self.of(client, "tiny")["engine"]["pid"], signal.SIGKILL)
        client.until_status("restarting", model="tiny")
        client.until_status("ready", model="tiny")
        self.assertEqual(self.of(client, "other")["since"], since)
        self.assertEqual({event.get("model") for event in client.events[-4:]}, {"tiny"})

    def ready_both(self, config):
        daemon, client = self.run_engine(config=config)
        self.wait_for(lambda: all(model["state"] == "ready" for model in client.ask("status")["models"]), "both")
        return daemon, client

    def of(self, client, name):
        return next(model for model in client.ask("status")["models"] if model["name"] == name)


class Agreement(engine.EngineTest):
    def test_status_health_metrics_and_sockets_say_what_each_frame_says(self):
        daemon, client = self.run_engine("slow_load=0.2,busy=0.1", self.config({"restart_max": 1}))
        asker = self.connect(daemon)
        checked = set()

        def follow(until):
            while True:
                frame = client.read_frame()
                self.assertIsNotNone(frame)
                if frame.get("type") == "status" and "seq" in frame and self.check_agreement(asker, frame):
                    checked.add((frame["status"], frame.get("phase")))
                if frame.get("status") == until:
                    return frame

        follow("ready")
        os.kill(self.engine(asker)["pid"], signal.SIGKILL)
        follow("restarting")
        follow("ready")
        os.kill(self.engine(asker)["pid"], signal.SIGKILL)
        follow("error")
        asker.ask("load")
        follow("ready")
        asker.ask("unload")
        follow("unloaded")
        self.assertLessEqual({("ready", None), ("restarting", None), ("error", None), ("unloaded", None),
                              ("loading_model", "engine_start"), ("loading_model", "warm_up")}, checked)


class Paths(engine.EngineTest):
    def test_a_socket_path_that_is_too_long_is_told_when_the_configuration_is_read(self):
        config = self.config()
        config["models"][0]["name"] = "n" * 64
        folder = self.folder / ("d" * 60)
        daemon = self.start(config, folder=folder)
        self.assertEqual(daemon.wait(), 78)
        self.assertIn("107", daemon.stderr())

    def test_a_left_over_file_where_its_socket_goes_is_no_obstacle(self):
        self.runtime_dir.mkdir(mode=0o700)
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(self.runtime_dir / ".tiny.sock"))
        stale.close()
        self.ready()
        self.assertEqual(self.complete_text().status, 200)


if __name__ == "__main__":
    unittest.main()
