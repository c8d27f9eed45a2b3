"""Split GGUFs: every shard a blob with a digest of its own, one model with one progress."""

import json
import shutil
import unittest

import fetching
import ggufd
import story
from origin import Origin
from split import split_model

COUNT = 3


class ShardTest(fetching.FetchTest):
    size_mb = 6

    def setUp(self):
        ggufd.DaemonTest.setUp(self)
        self.shards = [ggufd.model_file(path) for path in split_model(self.model(size_mb=self.size_mb).path, COUNT)]
        self.file = self.shards[0]
        self.origin = self.enterContext(Origin(self.web))
        self.source = self.origin.url(self.shards[0].name)

    def config(self, source=None, model=None, fetch=None, **more):
        return super().config(source, self.shards[0], fetch, sha256=[shard.sha256 for shard in self.shards], **more)

    def assert_stored(self, _model=None):
        for shard in self.shards:
            super().assert_stored(shard)

    def size_bytes(self):
        return sum(shard.size_bytes for shard in self.shards)

    def fetched(self, shard):
        return fetching.size(fetching.asked_ranges(self.origin.requests("/" + shard.name)))


class Shards(ShardTest):
    def test_all_of_them_become_one_model(self):
        client = self.ends_well()
        told = self.phases_of(client, "download")
        self.assertEqual(told[-1]["downloaded_bytes"], self.size_bytes())
        self.assertEqual({event["total_bytes"] for event in told} - {None, self.size_bytes()}, set(), "one total of all")
        self.assertEqual(self.phases_of(client, "mmap")[-1]["total_bytes"], self.size_bytes())
        self.assertEqual(sum(self.fetched(shard) for shard in self.shards), self.size_bytes())

    def test_the_manifest_and_the_links_name_every_shard(self):
        self.ends_well()
        manifest = json.loads((self.store / "manifests/tiny.json").read_text())
        self.assertEqual(manifest["blob"], f"sha256:{self.shards[0].sha256}")
        self.assertEqual(manifest["shards"], [f"sha256:{shard.sha256}" for shard in self.shards])
        self.assertEqual(manifest["size_bytes"], self.size_bytes())
        links = {path.name: path.resolve() for path in (self.store / "links/tiny").iterdir()}
        self.assertEqual(links, {shard.name: self.blob(shard).resolve() for shard in self.shards})

    def test_a_second_start_reads_nothing_again(self):
        self.ends_well()
        self.origin.forget_requests()
        client = self.ends_well()
        self.assertEqual(self.origin.requests(), [])
        self.assertTrue({"download", "verify"}.isdisjoint(story.steps(client.events)))

    def test_only_what_is_missing_is_fetched(self):
        self.ends_well()
        self.origin.forget_requests()
        shutil.rmtree(self.blob(self.shards[1]).parent)
        self.ends_well()
        self.assertEqual([self.fetched(shard) for shard in self.shards], [0, self.shards[1].size_bytes, 0])

    def test_it_goes_on_after_a_kill(self):
        for shard in self.shards:
            self.origin.throttle("/" + shard.name, 1_500_000)
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) >= self.size_bytes() // 2)
        self.kill(daemon)
        self.origin.forget_requests()
        client = self.ends_well()
        limit = fetching.CONNECTIONS * fetching.SEGMENT_BYTES * COUNT
        self.assertLess(sum(self.fetched(shard) for shard in self.shards), self.size_bytes() // 2 + limit)
        self.assertGreater(self.resumed_bytes(client), 0)

    def test_a_wrong_byte_in_one_is_repaired(self):
        self.origin.fault("/" + self.shards[2].name, flip_at=self.shards[2].size_bytes - 100, times=1)
        client = self.ends_well()
        self.assertIn("repaired", story.warnings(client.events))

    def test_local_shards_are_used_in_place(self):
        daemon, client, outcome = self.bring_up(self.config(self.shards[0].path))
        self.assert_ready(outcome, daemon)
        self.assertNotIn("download", story.steps(client.events))
        self.assertEqual(self.phases_of(client, "mmap")[-1]["total_bytes"], self.size_bytes())
        self.assertEqual(list(self.store.glob("blobs/sha256/*/*/data")), [], "local files are never copied")
        self.stop(daemon)


class NoModel(ShardTest):
    """What is complete of it stays, so there may be blobs: what must not be is a model."""

    def fails(self, codes, config=None):
        daemon, client, outcome = self.bring_up(config or self.config())
        self.assert_error(outcome, *([codes] if isinstance(codes, str) else codes))
        self.assertEqual(client.ask("ping")["type"], "response")
        for blob in self.store.glob("blobs/sha256/*/*/data"):
            self.assertEqual(ggufd.model_file(blob).sha256, blob.parent.name)
        self.stop(daemon)
        return outcome

    def test_a_shard_that_is_not_there(self):
        self.shards[1].path.unlink()
        self.assertIn(self.shards[1].name, self.fails("http_status")["message"])

    def test_a_shard_with_another_digest(self):
        config = self.config()
        config["models"][0]["sha256"][1] = "0" * 64
        self.fails("sha256_mismatch", config)

    def test_shards_of_two_models(self):
        other = split_model(self.model("other.gguf", size_mb=5, seed=2).path, COUNT)[1]
        shutil.copyfile(other, self.shards[1].path)
        self.shards[1] = ggufd.model_file(self.shards[1].path)
        self.fails(("invalid_gguf", "unsupported_gguf"))

    def test_a_shard_twice(self):
        shutil.copyfile(self.shards[1].path, self.shards[2].path)
        self.shards[2] = ggufd.model_file(self.shards[2].path)
        self.fails(("invalid_gguf", "unsupported_gguf"))

    def test_a_list_of_another_length_is_a_mistake_in_the_configuration(self):
        config = self.config()
        config["models"][0]["sha256"].pop()
        daemon = self.start(config)
        self.assertEqual(daemon.wait(), 78, daemon.stderr())
        self.assertIn("/models/0/sha256", daemon.stderr())


if __name__ == "__main__":
    unittest.main()
