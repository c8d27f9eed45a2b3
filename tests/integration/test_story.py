"""The checks of a story pass a good one and notice what is wrong with others."""

import copy
import unittest

import story


def sample():
    """A bring-up as it should be told: a list of events from seq 1 on, a tenth of a second apart."""
    def download(count):
        return {"phase": "download", "downloaded_bytes": count, "total_bytes": 100, "source_url": "http://x/m",
                "bytes_per_second": 1, "resumed_bytes": 0, "connections": 1}

    def hashed(count):
        return {"phase": "verify", "path": "/m", "verified_bytes": count, "total_bytes": 100}

    def mapped(count):
        return {"phase": "mmap", "path": "/m", "resident_bytes": count, "total_bytes": 100, "integrity": "hashed"}

    flags = dict.fromkeys(("v2", "vision", "audio", "tools", "thinking", "embed", "rerank", "generate"), False)
    told = [{"phase": "checking_local", "path": "/m"}, *map(download, range(0, 101, 10)), hashed(0), hashed(100), mapped(0),
            mapped(100), {"phase": "kv_cache", "n_ctx": 512, "bytes": 5, "kv_type_k": "f16", "kv_type_v": "f16"}]
    events = [{"status": "loading_model"} | details for details in told]
    events += [{"status": "capabilities", "backend": "resident", "wire_version": 1, "accelerator": "cpu", "gpu_layers": 0,
                "n_ctx": 512} | flags, {"status": "ready", "load_ms": 5}]
    envelope = {"id": "admin", "type": "status", "model": "tiny"}
    return [envelope | event | {"seq": seq, "ts": f"2026-05-18T00:00:{seq / 10:06.3f}Z"} for seq, event in enumerate(events, 1)]


def with_warning(events, code):
    return [*events, events[-1] | {"status": "warning", "code": code, "message": "what has happened"}]


def numbered(events):
    """The same, with a seq and a time for each place."""
    return [event | {"seq": seq, "ts": f"2026-05-18T00:00:{seq / 10:06.3f}Z"} for seq, event in enumerate(events, 1)]


class StoryChecks(unittest.TestCase):
    def assert_caught(self, change):
        events = copy.deepcopy(sample())
        change(events)
        with self.assertRaises(AssertionError):
            story.check_all(events, "tiny")

    def test_a_good_story_passes(self):
        story.check_all(sample(), "tiny")

    def test_a_story_of_two_models_is_that_of_each(self):
        both = [event for pair in zip(sample(), sample()) for event in pair]
        for seq, event in enumerate(both, 1):
            event.update(seq=seq, model=("one", "two")[seq % 2])
        story.check_models(both, ("one", "two"))
        with self.assertRaises(AssertionError):
            story.check_models([event for event in both if event.get("phase") != "kv_cache"], ("one", "two"))

    def test_a_warning_lets_progress_run_back(self):
        # Half of the download, the warning, and the download again.
        for code in ("download_restarted", "repairing"):
            with self.subTest(code):
                good = with_warning(sample()[:7], code) + sample()[1:]
                story.check_all(numbered(good), "tiny")
                with self.assertRaises(AssertionError):
                    story.check_all(numbered(sample()[:7] + sample()[1:]), "tiny")

    def test_a_repair_is_told_in_order(self):
        begun = with_warning(sample()[:14], "repairing")  # up to the end of verify
        again = sample()[1:12]
        repaired = with_warning(begun + again, "repaired") + sample()[12:]
        story.check_all(numbered(repaired), "tiny")
        self.assertEqual(story.warnings(repaired), ["repairing", "repaired"])
        with self.assertRaises(AssertionError):
            story.check_all(numbered([event for event in repaired if event.get("code") != "repairing"]), "tiny")

    def test_each_broken_promise_is_noticed(self):
        # Positions in the sample: 0 checking_local, 1..11 download, 12 and 13 verify, 14 and 15 mmap, 16 kv_cache.
        def renumber(events):
            for seq, event in enumerate(events, 1):
                event["seq"] = seq

        broken = {
            "a lost event": lambda events: events.pop(5),
            "a missing step": lambda events: (events.pop(16), renumber(events)),
            "steps in another order": lambda events: (events.insert(1, events.pop(16)), renumber(events)),
            "progress that runs backwards": lambda events: events[6].update(downloaded_bytes=10),
            "more than the whole": lambda events: events[15].update(resident_bytes=101),
            "a total that changes": lambda events: events[6].update(total_bytes=99),
            "a phase without its last event": lambda events: (events.pop(11), renumber(events)),
            "a phase without its first event": lambda events: (events.pop(1), renumber(events)),
            "a key that is missing": lambda events: events[16].pop("kv_type_k"),
            "a number that is a string": lambda events: events[16].update(bytes="5"),
            "a flag that is a number": lambda events: events[17].update(tools=0),
            "a number that is a flag": lambda events: events[17].update(n_ctx=True),
            "a time without milliseconds": lambda events: events[3].update(ts="2026-05-18T00:00:01Z"),
            "an event without its model": lambda events: events[3].pop("model"),
            "an unknown phase": lambda events: events[3].update(phase="guessing"),
        }
        for what, change in broken.items():
            with self.subTest(what):
                self.assert_caught(change)

    def test_too_many_events_a_second_are_noticed(self):
        events = copy.deepcopy(sample())
        extra = [events[5] | {"downloaded_bytes": 40} for _ in range(4)]
        events[5:6] = extra
        for seq, event in enumerate(events, 1):
            event["seq"] = seq
        for event in events[1:15]:
            event["ts"] = "2026-05-18T00:00:01.000Z"
        with self.assertRaises(AssertionError):
            story.check_all(events, "tiny")


if __name__ == "__main__":
    unittest.main()
