"""One download once: models, requests and daemons that want the same bytes share one."""

import unittest

import fetching
import story
from fetching import PATH


class Sharing(fetching.FetchTest):
    size_mb = 8

    def setUp(self):
        super().setUp()
        self.origin.throttle(PATH, 1_500_000)

    def assert_fetched_once(self):
        requests = self.origin.requests(PATH)
        self.assertEqual(fetching.asked_twice(requests), 0)
        self.assertEqual(fetching.size(fetching.asked_ranges(requests)), self.file.size_bytes)

    def two_models(self, **more):
        config = self.config()
        first = config["models"][0] | more
        config["models"] = [first | {"name": "one"}, first | {"name": "two"}]
        return config

    def both_outcomes(self, client):
        outcomes = {}
        while len(outcomes) < 2:
            event = client.until_outcome()
            outcomes[event["model"]] = event
        return outcomes


class InOneDaemon(Sharing):
    def test_two_models_with_one_digest(self):
        daemon = self.start(self.two_models())
        client = self.connect(daemon)
        outcomes = self.both_outcomes(client)
        for outcome in outcomes.values():
            self.assert_ready(outcome, daemon)
        self.complete(client, daemon)
        story.check_models(client.events, ("one", "two"))
        for name in ("one", "two"):
            told = [event for event in story.of_model(client.events, name) if event.get("phase") == "download"]
            self.assertGreater(len({event["downloaded_bytes"] for event in told}), 3, "both see how it goes on")
            self.assertTrue((self.store / f"manifests/{name}.json").exists())
        self.assert_fetched_once()
        self.assert_stored(self.file)
        self.stop(daemon)

    def test_one_of_two_is_cancelled_and_the_other_gets_it(self):
        daemon = self.start(self.two_models())
        client = self.connect(daemon)
        client.until(lambda event: event.get("model") == "two" and event.get("downloaded_bytes", 0) > 0)
        self.assertEqual(client.ask("cancel", model="one", wait=True)["type"], "response")
        outcome = client.until_status("ready", "error", model="two")
        self.assert_ready(outcome, daemon)
        self.assert_fetched_once()
        self.stop(daemon)

    def test_one_failure_is_that_of_both(self):
        self.origin.fault(PATH, status=404)
        daemon = self.start(self.two_models())
        client = self.connect(daemon)
        for outcome in self.both_outcomes(client).values():
            self.assert_error(outcome, "http_status")
        self.stop(daemon)

    def test_a_model_that_comes_later_joins(self):
        daemon = self.start(self.two_models(load="manual"))
        client = self.connect(daemon)
        client.ask("load", model="one")
        client.until(lambda event: event.get("downloaded_bytes", 0) > self.file.size_bytes // 4)
        client.ask("load", model="two")
        for outcome in self.both_outcomes(client).values():
            self.assert_ready(outcome, daemon)
        self.assert_fetched_once()
        self.stop(daemon)


class InTwoDaemons(Sharing):
    """Two daemons, each with a runtime folder of its own, and one store."""

    def first(self):
        """One that has begun to fetch."""
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) > self.file.size_bytes // 8)
        return daemon, client

    def second(self):
        daemon = self.start(self.config(), folder=self.folder / "second", store=self.store)
        return daemon, self.connect(daemon)

    def test_one_fetches_and_both_tell(self):
        first, one = self.first()
        second, two = self.second()
        for daemon, client in ((first, one), (second, two)):
            self.assert_ready(client.until_outcome(), daemon)
        self.complete(two, second)
        story.check_all(two.events, "tiny")
        told = [event["downloaded_bytes"] for event in two.events if event.get("phase") == "download"]
        self.assertGreater(len(set(told)), 2, "the second one sees how the first one's goes on")
        self.assert_fetched_once()
        self.assert_stored(self.file)
        self.stop(first)
        self.stop(second)

    def test_the_second_goes_on_when_the_first_is_killed(self):
        first, _ = self.first()
        second, two = self.second()
        two.until_phase("download")
        first.kill()
        self.assert_ready(two.until_outcome(), second)
        limit = fetching.CONNECTIONS * fetching.SEGMENT_BYTES
        self.assertLessEqual(fetching.asked_twice(self.origin.requests(PATH)), limit)
        self.assert_stored(self.file)
        self.stop(second)

    def test_the_second_goes_on_when_the_first_is_cancelled(self):
        _, one = self.first()
        second, two = self.second()
        two.until_phase("download")
        one.ask("cancel", wait=True)
        self.assert_ready(two.until_outcome(), second)
        self.assert_stored(self.file)
        self.stop(second)

    def test_the_second_can_be_cancelled_while_it_waits(self):
        first, one = self.first()
        second, two = self.second()
        two.until_phase("download")
        self.assertEqual(two.ask("cancel", wait=True)["type"], "response")
        self.assert_ready(one.until_outcome(), first)
        self.assert_fetched_once()
        self.stop(first)
        self.stop(second)

    def test_a_store_that_is_filled_is_not_fetched_into_again(self):
        self.ends_well()
        self.origin.forget_requests()
        second, two = self.second()
        self.assert_ready(two.until_outcome(), second)
        self.assertEqual(self.origin.requests(), [])
        self.stop(second)


if __name__ == "__main__":
    unittest.main()
