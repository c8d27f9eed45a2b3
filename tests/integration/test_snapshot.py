"""The view of a client does not depend on when it connects: a snapshot, then every event after it, once."""

import random
import selectors
import unittest

import ggufd
import story
from origin import Origin

CLIENTS = 60


def split(client):
    """(capabilities of the snapshot, its status frame, the live events after it)."""
    events = client.events
    for index, event in enumerate(events):
        # A live `capabilities` comes after the snapshot's status frame, so the first other status is that frame.
        if event["status"] != "capabilities":
            return events[:index], event, events[index + 1:]
    raise AssertionError(f"no status came: {events}")


def check_view(test, client, log):
    """`log` is every published event by its seq; what `client` has read must be a snapshot of it and its tail."""
    capabilities, status, live = split(client)
    if "seq" not in status:  # nothing had been published when this client came
        test.assertEqual((status["status"], live[0]["seq"]), ("starting", 1))
        status = status | {"seq": 0}
        log = log | {0: status}
    for event in [*capabilities, status, *live]:
        test.assertEqual(event, log[event["seq"]], "an event is the same for every reader")
    story.check_sequence(live)
    if live:
        between = [log[seq] for seq in range(status["seq"] + 1, live[0]["seq"])]
        test.assertLessEqual({event["status"] for event in between}, {"capabilities", "warning"}, "an event was lost")
        told = [event for event in between if event["status"] == "capabilities"]
        test.assertEqual(told, [event for event in capabilities if event in told], "capabilities were lost")
        test.assertEqual(live[-1]["seq"], max(log))
    seen = [event["seq"] for event in client.events]
    test.assertEqual(len(seen), len(set(seen)), "an event came twice")


class Snapshot(ggufd.DaemonTest):
    def test_clients_that_connect_at_random_moments_see_the_same_story(self):
        file = self.model(size_mb=6)
        chance = random.Random(20260518)
        clients = []
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", throttle_bytes_per_second=file.size_bytes // 2)
            config = self.config_for(origin.url("model.gguf"), file, fetch={"connections": 1})
            daemon = self.start(config)
            reference = self.connect(daemon)
            # Every event of the reference is the moment for a few more, so they spread over the whole bring-up.
            while not reference.events or reference.events[-1]["status"] != "ready":
                self.assertIsNotNone(reference.read_frame())
                for _ in range(chance.choice((0, 1, 2, 6))):
                    if len(clients) < CLIENTS:
                        clients.append(self.connect(daemon))
        clients.append(self.connect(daemon))
        for client in clients:
            client.until_status("ready")
        log = {event["seq"]: event for event in reference.events if "seq" in event}
        self.assertGreater(len(log), 15)
        for client in clients:
            check_view(self, client, log)
        self.stop(daemon)

    def test_a_burst_of_clients_while_events_flow(self):
        file = self.model(size_mb=2)
        with Origin(self.web) as origin, selectors.DefaultSelector() as selector:
            origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
            daemon = self.start(self.config_for(origin.url("model.gguf"), file))
            reference = self.connect(daemon)
            origin.wait_until_stalled("/model.gguf")
            origin.clear("/model.gguf")
            clients = [self.connect(daemon) for _ in range(CLIENTS)]
            for client in [reference, *clients]:
                selector.register(client.socket, selectors.EVENT_READ, client)
            waiting = {reference, *clients}
            while waiting:
                ready = selector.select(ggufd.LIMIT_S)
                self.assertTrue(ready, "the daemon fell silent")
                for key, _ in ready:
                    self.assertIsNotNone(key.data.read_frame())
                    while b"\n" in key.data._pending:
                        key.data.read_frame()
                    if key.data.events[-1]["status"] == "ready":
                        waiting.discard(key.data)
                        selector.unregister(key.fileobj)
            log = {event["seq"]: event for event in reference.events}
            for client in clients:
                check_view(self, client, log)
            self.stop(daemon)

    def test_a_client_that_comes_when_all_is_ready(self):
        file = self.model()
        daemon, first, outcome = self.bring_up(self.config_for(file.path, file))
        self.assert_ready(outcome, daemon)
        late = self.connect(daemon)
        self.assertEqual(late.read_frame()["status"], "capabilities")
        self.assertEqual(late.read_frame(), outcome)
        self.assertEqual(late.ask("ping")["type"], "response")
        self.assertEqual(len(late.events), 2, "the snapshot is these two frames and no more")
        self.stop(daemon)

    def test_capabilities_come_by_name_and_the_default_model_last(self):
        files = {name: self.model(f"{name}.gguf", size_mb=1, seed=seed) for seed, name in enumerate(("b", "c", "a"), 1)}
        entries = [{"name": name, "source": str(file.path), "sha256": file.sha256, "engine": "resident"}
                   for name, file in files.items()]
        daemon = self.start({"models": entries, "default_model": "b", "memory_headroom_bytes": 0})
        first = self.connect(daemon)
        reached = set()
        while reached != set(files):
            reached.add(first.until_status("ready")["model"])
        late = self.connect(daemon)
        frames = [late.read_frame() for _ in range(6)]
        self.assertEqual([frame["status"] for frame in frames], ["capabilities"] * 3 + ["ready"] * 3)
        self.assertEqual([frame["model"] for frame in frames[:3]], ["a", "b", "c"])
        self.assertEqual({frame["model"] for frame in frames[3:]}, set(files))
        self.assertEqual(frames[-1]["model"], "b")
        for name in files:
            self.assertTrue((self.runtime_dir / f"infer.{name}.sock").exists())
        self.stop(daemon)

    def test_without_a_model_the_daemon_is_starting(self):
        daemon = self.start({"models": []})
        frame = self.connect(daemon).read_frame()
        self.assertEqual(frame["status"], "starting")
        self.assertEqual(frame["pid"], daemon.process.pid)
        self.assertNotIn("model", frame)
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
