"""Bandwidth, connections, and the end of a download that somebody no longer wants."""

import json
import time
import unittest

import fetching
import story
from fetching import CONNECTIONS, PATH, SEGMENT_BYTES

MB = 1_000_000
# What is promised is 100 ms; sanitizers and busy machines are slow.
CANCEL_LIMIT_S = 1.0


class BytesPerSecond(fetching.FetchTest):
    size_mb = 6

    def rate(self, before, after):
        return (after["downloaded_bytes"] - before["downloaded_bytes"]) / (story.seconds(after) - story.seconds(before))

    def test_one_download(self):
        client = self.ends_well(self.config(fetch={"bytes_per_second": 3 * MB}))
        told = self.phases_of(client, "download")
        self.assertAlmostEqual(self.rate(told[0], told[-1]) / (3 * MB), 1, delta=0.2)
        self.assertAlmostEqual(told[-2]["bytes_per_second"] / (3 * MB), 1, delta=0.4)

    def test_two_downloads_share_it(self):
        self.model("other.gguf", size_mb=self.size_mb, seed=2)
        config = self.config(fetch={"bytes_per_second": 4 * MB})
        first = config["models"][0]
        del first["sha256"]
        config["models"] = [first | {"name": name, "source": self.origin.url(file), "pin": "first-use"}
                            for name, file in (("one", "model.gguf"), ("two", "other.gguf"))]
        daemon = self.start(config)
        client = self.connect(daemon)
        for _ in range(2):
            self.assert_ready(client.until_outcome(), daemon)
        self.complete(client, daemon)
        story.check_models(client.events, ("one", "two"))
        told = self.phases_of(client, "download")
        took_s = story.seconds(told[-1]) - story.seconds(told[0])
        self.assertAlmostEqual(2 * self.file.size_bytes / took_s / (4 * MB), 1, delta=0.2)
        self.stop(daemon)

    def test_reload_changes_it_meanwhile(self):
        config = self.config(fetch={"bytes_per_second": MB // 4})
        daemon = self.start(config)
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) > MB // 2)
        daemon.config_file.write_text(json.dumps(self.config(fetch={"bytes_per_second": 3 * MB})))
        self.assertEqual(client.ask("reload")["type"], "response")
        changed = client.until(lambda event: event.get("downloaded_bytes", 0) > MB)
        last = client.until(lambda event: event.get("downloaded_bytes") == self.file.size_bytes)
        self.assertAlmostEqual(self.rate(changed, last) / (3 * MB), 1, delta=0.25)
        self.assert_ready(client.until_outcome(), daemon)
        self.stop(daemon)


class Connections(fetching.FetchTest):
    size_mb = 8

    def test_more_of_them_while_that_helps(self):
        self.origin.throttle(PATH, MB)
        client = self.ends_well(self.config(fetch={"connections": 4, "segment_bytes": 128 * 1024}))
        told = [event["connections"] for event in self.phases_of(client, "download")]
        self.assertGreater(max(told), 1)
        self.assertLessEqual(max(told), 4)
        took_s = story.seconds(self.phases_of(client, "download")[-1]) - story.seconds(self.phases_of(client, "download")[0])
        self.assertLess(took_s, self.file.size_bytes / MB * 0.8, "several connections are faster than one")

    def test_one_is_one(self):
        self.origin.throttle(PATH, 8 * MB)
        client = self.ends_well(self.config(fetch={"connections": 1}))
        self.assertLessEqual(max(event["connections"] for event in self.phases_of(client, "download")), 1)

    def test_segments_are_of_the_configured_size(self):
        self.ends_well()
        for first, end in fetching.asked_ranges(self.origin.requests(PATH)):
            self.assertLessEqual(end - first, SEGMENT_BYTES)


class Cancel(fetching.FetchTest):
    size_mb = 8

    def cancelled(self, until, fetch=None):
        """Cancels when `until` holds for an event; returns (daemon, client)."""
        daemon = self.start(self.config(fetch=fetch))
        client = self.connect(daemon)
        until(client)
        begin = time.monotonic()
        answer = client.ask("cancel", model="tiny", wait=True)
        took_s = time.monotonic() - begin
        print(f"cancelled after {took_s * 1000:.1f} ms", flush=True)
        self.assertEqual((answer["type"], answer.get("state")), ("response", "uninitialized"), answer)
        self.assertLess(took_s, CANCEL_LIMIT_S)
        return daemon, client

    def test_it_keeps_what_has_come(self):
        self.origin.throttle(PATH, MB)
        daemon, client = self.cancelled(
            lambda client: client.until(lambda event: event.get("downloaded_bytes", 0) >= 2 * CONNECTIONS * SEGMENT_BYTES))
        known = self.journalled()
        self.assertGreater(fetching.size(known), 0)
        self.origin.throttle(PATH, 0)
        self.origin.forget_requests()
        self.assertEqual(client.ask("load", wait=True)["state"], "ready")
        self.assertEqual(fetching.common(fetching.asked_ranges(self.origin.requests(PATH)), known), 0)
        resumed = [event["resumed_bytes"] for event in client.events if event.get("phase") == "download"][-1]
        self.assertEqual(resumed, fetching.size(known))
        self.assert_stored(self.file)
        self.stop(daemon)

    def test_while_the_source_stalls(self):
        self.origin.fault(PATH, stall_at=1 * MB)
        self.stop(self.cancelled(lambda _: self.origin.wait_until_stalled(PATH))[0])

    def test_while_it_waits_to_try_again(self):
        self.origin.fault(PATH, status=503, retry_after=3000)
        self.stop(self.cancelled(lambda _: self.origin.wait_until_asked(PATH))[0])

    def test_while_the_limit_holds_it_back(self):
        self.stop(self.cancelled(lambda client: client.until(lambda event: event.get("downloaded_bytes", 0) > 0),
                                 fetch={"bytes_per_second": 50_000})[0])

    def test_a_stop_meanwhile_is_soon(self):
        self.origin.fault(PATH, status=503, retry_after=3000)
        daemon = self.start(self.config())
        self.origin.wait_until_asked(PATH)
        begin = time.monotonic()
        self.stop(daemon)
        self.assertLess(time.monotonic() - begin, 5)


if __name__ == "__main__":
    unittest.main()
