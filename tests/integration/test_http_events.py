"""Events and metrics over HTTP, beside what the admin socket tells."""

import json
import unittest

import web
from origin import Origin


class Events(web.HttpTest):
    def replay(self, daemon, since, last):
        """What the admin socket tells behind `since`, as far as `last`."""
        with daemon.connect() as late:
            late.ask("subscribe", since=since)
            first = len(late.lines)  # behind the snapshot and the answer
            late.until(lambda event: event.get("seq") == last)
            return late.lines[first:]

    def test_the_snapshot_and_what_follows(self):
        daemon, client = self.start_manual()
        client.ask("load", wait=True)
        events = self.events()
        self.assertEqual(events.response.headers["Content-Type"], "text/event-stream")
        snapshot = [events.frame(), events.frame()]
        self.assertEqual([frame["status"] for frame in snapshot], ["capabilities", "ready"])
        client.ask("unload", wait=True)
        client.ask("load", wait=True)
        frames = events.until(lambda frame: frame["status"] == "ready")
        self.assertEqual([frame["status"] for frame in frames][:2], ["unloading", "unloaded"])
        first = snapshot[-1]["seq"] + 1
        self.assertEqual([frame["seq"] for frame in frames], list(range(first, first + len(frames))))

    def test_going_on_behind_an_id_is_what_the_admin_socket_tells(self):
        daemon, client = self.start_manual(size_mb=16)
        for _ in range(3):
            client.ask("load", wait=True)
            client.ask("unload", wait=True)
        last = client.ask("status")["seq"]
        for since in (0, 1, last // 2, last - 1):
            with self.subTest(since=since):
                events = self.events(last_event_id=since)
                told = []
                while not told or told[-1][0] != last:
                    told.append(events.next())
                self.assertEqual([data.encode() for _, data in told], self.replay(daemon, since, last))
                self.assertEqual([event_id for event_id, _ in told], [json.loads(data)["seq"] for _, data in told])
                events.close()

    def test_an_id_of_another_life_gets_the_lagged_frame(self):
        daemon, client = self.start_ready()
        events = self.events(last_event_id=10_000_000)
        event_id, data = events.next()
        self.assertEqual((event_id, json.loads(data)["status"]), (None, "lagged"))
        self.assertEqual([events.frame()["status"], events.frame()["status"]], ["capabilities", "ready"])
        self.assertEqual(self.metrics()["ggufd_lagged_readers_total", ()], 1)

    def test_who_has_seen_everything_is_answered_at_once(self):
        _, client = self.start_ready()
        last = client.ask("status")["seq"]
        events = self.events(last_event_id=last)  # the header is here
        client.ask("unload", wait=True)
        self.assertEqual(events.frame()["seq"], last + 1)

    def test_an_id_that_is_none_gets_the_snapshot(self):
        self.start_ready()
        self.assertEqual(self.events(last_event_id="abc").frame()["status"], "capabilities")

    def test_a_slow_reader_gets_every_change_and_holds_up_nobody(self):
        daemon, client = self.start_manual(size_mb=1)
        slow = self.events(receive_buffer_bytes=4096)
        fast = self.events()
        rounds = 150
        for _ in range(rounds):
            client.ask("load", wait=True)
            client.ask("unload", wait=True)
        last = client.ask("status")["seq"]
        self.assertEqual(fast.until(lambda frame: frame.get("seq") == last)[-1]["status"], "unloaded")
        frames = slow.until(lambda frame: frame.get("seq") == last)
        seqs = [frame["seq"] for frame in frames if "seq" in frame and frame["status"] != "starting"]
        self.assertEqual(seqs, sorted(seqs), "in order")
        told_to_have_lagged = any(frame["status"] == "lagged" for frame in frames)
        if not told_to_have_lagged:
            self.assertEqual(sum(frame["status"] == "ready" for frame in frames), rounds)
        self.assertEqual(self.ask("/ready").status, 200)

    def test_readers_that_go_are_noticed(self):
        daemon, client = self.start_manual()
        open_events = [self.events() for _ in range(20)]
        for events in open_events:
            self.assertIsNotNone(events.frame())
        self.assertEqual(self.metrics()["ggufd_event_streams", ()], 20)
        for events in open_events:
            events.close()
        client.ask("load", wait=True)  # something to write is what shows it
        self.assertEqual(self.metrics()["ggufd_event_streams", ()], 0)

    def test_so_many_streams_and_no_more(self):
        self.start_manual()[1].ask("ping")
        for _ in range(128):
            self.events()
        refused = self.ask("/events")
        self.assertEqual(refused.status, 503)
        self.assertGreater(len(refused.text.split()), 3)
        self.assertEqual(self.ask("/ready").status, 200)

    def test_a_comment_keeps_a_silent_stream_alive(self):
        _, client = self.start_manual()
        events = self.events()
        self.assertEqual(events.frame()["status"], "starting")
        line = events.response.readline()
        self.assertTrue(line.startswith(b":"), line)

    def test_a_stop_ends_the_stream_behind_the_last_frame(self):
        daemon, _ = self.start_ready()
        events = [self.events() for _ in range(5)]
        idle = web.UnixConnection(self.http_socket)
        self.addCleanup(idle.close)
        self.assertEqual(self.ask("/ready", connection=idle).status, 200)
        self.stop(daemon)
        for stream in events:
            frames = stream.until(lambda frame: frame["status"] == "unloaded")
            self.assertEqual([frame["status"] for frame in frames][-3:], ["draining", "unloading", "unloaded"])
            self.assertIsNone(stream.next())
        self.assertFalse(self.http_socket.exists())

    def test_a_reader_that_never_reads_does_not_keep_a_stop_from_ending(self):
        daemon, client = self.start_manual(size_mb=1)
        self.events(receive_buffer_bytes=4096)
        for _ in range(150):
            client.ask("load", wait=True)
            client.ask("unload", wait=True)
        self.stop(daemon)


class Metrics(web.HttpTest):
    def test_they_agree_with_status(self):
        daemon, client = self.start_ready()
        client.ask("load", model="nobody")
        client.send(b"no json\n")
        client.answer("")
        client.ask("unload", wait=True)
        client.ask("load", wait=True)
        answer = self.ask("/metrics")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        metrics = web.parse_metrics(answer.text)
        status = client.ask("status")
        model = status["models"][0]
        of_tiny = {name: value for (name, labels), value in metrics.items() if labels == (("model", "tiny"),)}
        self.assertEqual(of_tiny["ggufd_model_loads_total"], 2)
        self.assertEqual(of_tiny["ggufd_model_loads_total"], model["load_count"])
        self.assertEqual(of_tiny["ggufd_model_load_seconds"], model["load_ms"] / 1000)
        self.assertEqual(of_tiny["ggufd_model_file_bytes"], model["bytes"])
        self.assertEqual(of_tiny["ggufd_model_availability"], model["availability"]["code"])
        for kind in ("mapped", "kv"):
            self.assertEqual(metrics["ggufd_model_memory_bytes", (("model", "tiny"), ("kind", kind))], model["memory"][kind])
        for state in ("uninitialized", "loading", "warming_up", "ready", "unloading", "error"):
            self.assertEqual(metrics["ggufd_models", (("state", state),)], state == model["state"])
            self.assertEqual(metrics["ggufd_model_state", (("model", "tiny"), ("state", state))], state == model["state"])
        self.assertEqual(metrics["ggufd_events_published_total", ()], status["seq"])
        self.assertEqual(metrics["ggufd_subscribers", ()], status["subscribers"])

        def requests(verb, outcome):
            return metrics["ggufd_requests_total", (("verb", verb), ("outcome", outcome))]

        self.assertEqual((requests("load", "ok"), requests("unload", "ok"), requests("load", "unknown_model")), (1, 1, 1))
        self.assertEqual(requests("unreadable", "malformed_json"), 1)

    def test_phases_are_timed_and_bytes_counted(self):
        model = self.model(size_mb=8)
        with Origin(self.web) as origin:
            _, client, outcome = self.bring_up(self.config_for(origin.url(model.name), model))
        self.assertEqual(outcome["status"], "ready")
        metrics = self.metrics()
        phases = {event["phase"] for event in client.events if "phase" in event}
        timed = {labels[0][1] for name, labels in metrics if name == "ggufd_phase_seconds_count"}
        self.assertEqual(timed, phases)
        for phase in phases:
            self.assertEqual(metrics["ggufd_phase_seconds_count", (("phase", phase),)], 1)
        told = sum(metrics["ggufd_phase_seconds_sum", (("phase", phase),)] for phase in phases)
        self.assertLess(abs(told - outcome["load_ms"] / 1000), 0.5 + outcome["load_ms"] / 1000)
        downloads = [event["downloaded_bytes"] for event in client.events if event.get("phase") == "download"]
        self.assertEqual(metrics["ggufd_fetched_bytes_total", ()], downloads[-1] - downloads[0])
        self.assertEqual(downloads[-1], model.size_bytes)

    def test_errors_are_counted(self):
        daemon = self.start(self.config_for(self.folder / "missing.gguf"))
        outcome = self.connect(daemon).until_outcome()
        self.assertEqual(self.metrics()["ggufd_errors_total", (("model", "tiny"), ("code", outcome["code"]))], 1)

    def test_requests_are_counted_and_foreign_paths_are_one(self):
        self.connect(self.start({"models": []})).until_status("starting")
        for path in ("/ready", "/ready", "/a", "/b?c", "/x\"y"):
            self.ask(path)
        metrics = self.metrics()
        counted = {labels: value for (name, labels), value in metrics.items() if name == "ggufd_http_requests_total"}
        self.assertEqual(counted, {(("path", "/ready"), ("code", "200")): 2, (("path", "other"), ("code", "404")): 3})
        self.assertGreater(metrics["ggufd_loop_turn_seconds_count", ()], 0)
        self.assertEqual([value for (name, _), value in metrics.items() if name == "ggufd_build_info"], [1])


if __name__ == "__main__":
    unittest.main()
