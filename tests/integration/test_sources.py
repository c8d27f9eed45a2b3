"""Hugging Face sources: pinned to a commit, with a token that goes nowhere else; and digests that nobody has configured."""

import json
import shutil
import unittest

import fetching
import ggufd
import story
from fetching import CONNECTIONS, SEGMENT_BYTES
from hub import Hub

REPOSITORY = "org/repo"
SOURCE = f"hf:{REPOSITORY}/model.gguf"
TOKEN = "hf_SecretOfTheTests"


class HubTest(fetching.FetchTest):
    def setUp(self):
        super().setUp()
        self.hub = self.enterContext(Hub(self.folder / "hub", token=self.token()))
        self.commit = self.hub.publish(REPOSITORY, "model.gguf", self.file.path)

    def token(self):
        return None

    def config(self, source=None, model=None, fetch=None, **more):
        return super().config(source or SOURCE, model, {"hf_endpoint": self.hub.endpoint, **(fetch or {})}, **more)

    def manifest(self):
        return json.loads((self.store / "manifests/tiny.json").read_text())

    def ranges(self):
        return fetching.asked_ranges(self.hub.gets())


class Revisions(HubTest):
    def test_main_is_pinned_to_its_commit(self):
        client = self.ends_well()
        said = self.manifest()
        self.assertEqual(said["source"]["revision"], self.commit)
        self.assertEqual((said["source"]["repo"], said["source"]["filename"]), (REPOSITORY, "model.gguf"))
        gets = [request for request in self.hub.front.requests() if request.method == "GET"]
        self.assertTrue(gets)
        for request in gets:
            self.assertEqual(request.path, f"/{REPOSITORY}/resolve/{self.commit}/model.gguf")
        self.assertNotIn("sig=", b"".join(client.lines).decode(), "no query is shown")

    def test_a_tag_and_a_branch_with_slashes(self):
        other = self.model("other.gguf", size_mb=2, seed=2)
        for revision in ("v1.0", "refs/pr/1"):
            with self.subTest(revision):
                commit = self.hub.publish(REPOSITORY, "model.gguf", other.path, revision=revision)
                self.ends_well(self.config(f"{SOURCE}@{revision}", other), other)
                self.assertEqual(self.manifest()["source"]["revision"], commit)
                shutil.rmtree(self.store)

    def test_a_commit(self):
        self.hub.publish(REPOSITORY, "model.gguf", self.model("new.gguf", seed=2).path)
        self.ends_well(self.config(f"{SOURCE}@{self.commit}"))

    def test_a_branch_that_moves_meanwhile(self):
        self.hub.uses = 2  # so that the hub is asked again and again
        self.hub.cdn.throttle(self.hub.cdn_path(REPOSITORY, self.commit, "model.gguf"), 2_000_000)
        daemon = self.start(self.config_without_digest())
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) > 0)
        self.hub.publish(REPOSITORY, "model.gguf", self.model("new.gguf", seed=2).path)
        self.assert_ready(client.until_outcome(), daemon)
        self.assert_stored(self.file)
        self.assertEqual(self.manifest()["source"]["revision"], self.commit)
        self.stop(daemon)

    def test_a_renamed_repository(self):
        self.hub.rename("old/name", REPOSITORY)
        self.ends_well(self.config("hf:old/name/model.gguf"))

    def test_what_is_not_there(self):
        for source in ("hf:org/repo/absent.gguf", "hf:org/absent/model.gguf", f"{SOURCE}@absent"):
            with self.subTest(source):
                _, error = self.ends_in("http_status", self.config(source))
                self.assertIn("404", error["message"])

    def test_links_of_the_cdn_that_expire(self):
        self.hub.uses = 3
        client = self.ends_well()
        self.assertNotIn("download_restarted", story.warnings(client.events))
        self.assertEqual(fetching.asked_twice(self.hub.gets()), 0)

    def test_it_goes_on_after_a_kill(self):
        self.hub.cdn.throttle(self.hub.cdn_path(REPOSITORY, self.commit, "model.gguf"), 2_000_000)
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) >= 2 * CONNECTIONS * SEGMENT_BYTES)
        self.kill(daemon)
        known = self.journalled()
        self.assertTrue(known)
        self.assertEqual(self.journal()["revision"], self.commit)
        self.hub.cdn.forget_requests()
        self.assertEqual(self.resumed_bytes(self.ends_well()), fetching.size(known))
        self.assertEqual(fetching.common(self.ranges(), known), 0)


class Tokens(HubTest):
    def token(self):
        return TOKEN

    def assert_kept(self, client):
        """The hub got the token, nobody else did, and it is written nowhere."""
        self.assertEqual({request.header("Authorization") for request in self.hub.front.requests()}, {f"Bearer {TOKEN}"})
        self.assertTrue(self.hub.gets())
        for request in self.hub.cdn.requests():
            self.assertIsNone(request.header("Authorization"))
            self.assertNotIn(TOKEN, str(request.headers))
        self.assertNotIn(TOKEN, b"".join(client.lines).decode())
        for path in self.store.rglob("*.json"):
            self.assertNotIn(TOKEN, path.read_text(), path)

    def token_file(self, path, mode=0o600, text=TOKEN + "\n"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def test_from_the_environment(self):
        self.assert_kept(self.ends_well(HF_TOKEN=TOKEN))

    def test_not_in_the_log(self):
        config = self.config()
        config["log"] = {"level": "debug"}
        daemon, client, outcome = self.bring_up(config, HF_TOKEN=TOKEN)
        self.assert_ready(outcome, daemon)
        self.stop(daemon)
        self.assertNotIn(TOKEN, daemon.stderr())

    def test_from_the_configured_file(self):
        file = self.token_file(self.folder / "token")
        self.assert_kept(self.ends_well(self.config(fetch={"hf_token_file": str(file)})))

    def test_from_the_usual_places(self):
        places = [(self.folder / "elsewhere/my-token", {"HF_TOKEN_PATH": self.folder / "elsewhere/my-token"}),
                  (self.folder / "hf-home/token", {"HF_HOME": self.folder / "hf-home"}),
                  (self.folder / ".cache/huggingface/token", {})]
        for place, variables in places:
            with self.subTest(variables):
                self.token_file(place)
                self.assert_kept(self.ends_well(**variables))
                self.hub.front.forget_requests()
                shutil.rmtree(self.store)
                place.unlink()

    def test_a_file_that_others_may_read_is_refused(self):
        file = self.token_file(self.folder / "token", mode=0o644)
        _, error = self.ends_in("io", self.config(fetch={"hf_token_file": str(file)}))
        self.assertIn(str(file), error["message"])
        self.assertEqual(self.hub.front.requests(), [])

    def test_a_configured_file_that_is_missing(self):
        file = self.folder / "nowhere"
        _, error = self.ends_in("io", self.config(fetch={"hf_token_file": str(file)}))
        self.assertIn(str(file), error["message"])

    def test_without_one_it_says_what_to_do(self):
        _, error = self.ends_in("http_status")
        self.assertIn("401", error["message"])
        self.assertIn("token", error["message"].lower())
        self.assertEqual((len(self.hub.front.requests()), self.hub.cdn.requests()), (1, []))

    def test_a_wrong_one(self):
        _, error = self.ends_in("http_status", HF_TOKEN="hf_AnotherSecret")
        self.assertNotIn("hf_AnotherSecret", error["message"])

    def test_a_hub_that_sends_the_question_elsewhere(self):
        """The hub's own answer is not asked from another host, with or without the token."""
        self.hub.front.fault(f"/{REPOSITORY}/resolve/main/model.gguf", redirect=self.hub.cdn.url("elsewhere"))
        self.bring_up(self.config(), HF_TOKEN=TOKEN)
        for request in self.hub.cdn.requests():
            self.assertIsNone(request.header("Authorization"))


class Environment(HubTest):
    def test_the_endpoint_from_the_environment(self):
        config = super().config(fetch={"hf_endpoint": ""})
        self.ends_well(config, HF_ENDPOINT=self.hub.endpoint)
        self.assertTrue(self.hub.gets())

    def test_offline_asks_nobody(self):
        for value in ("1", "ON", "yes", "TRUE"):
            with self.subTest(value):
                _, error = self.ends_in("not_in_store", HF_HUB_OFFLINE=value)
                self.assertIn("HF_HUB_OFFLINE", error["message"])
        self.assertEqual(self.hub.front.requests(), [])

    def test_offline_uses_what_is_in_the_store(self):
        self.ends_well()
        self.hub.front.forget_requests()
        self.ends_well(HF_HUB_OFFLINE="1")
        self.assertEqual(self.hub.front.requests(), [])

    def test_offline_is_only_the_hub(self):
        self.ends_well(self.config(self.origin.url("model.gguf")), HF_HUB_OFFLINE="1")


class Published(HubTest):
    def test_another_digest_than_the_required_one(self):
        other = self.model("other.gguf", seed=2)
        _, error = self.ends_in("sha256_mismatch", self.config(model=other))
        self.assertIn(self.file.sha256[:12], error["message"])
        self.assertEqual(self.hub.gets(), [], "nothing is fetched")

    def test_another_size_than_the_configured_one(self):
        self.ends_in("size_mismatch", self.config(size_bytes=self.file.size_bytes + 1))
        self.assertEqual(self.hub.gets(), [], "nothing is fetched")


class FirstUse(HubTest):
    def wants_it_from_then_on(self, config, publish):
        """The digest of the first use is in the manifest, and another one is a mismatch, also where the blob is gone."""
        self.ends_well(config)
        self.assertEqual(self.manifest()["blob"], f"sha256:{self.file.sha256}")
        publish(self.model("new.gguf", seed=2).path)
        self.ends_well(config)  # from the store
        shutil.rmtree(self.store / "blobs")
        self.ends_in("sha256_mismatch", config)

    def test_the_published_digest(self):
        self.wants_it_from_then_on(self.config_without_digest(),
                                   lambda file: self.hub.publish(REPOSITORY, "model.gguf", file))

    def test_the_computed_digest_of_a_hub_that_tells_none(self):
        self.hub.tells_digest = False
        self.wants_it_from_then_on(self.config_without_digest(),
                                   lambda file: self.hub.publish(REPOSITORY, "model.gguf", file))

    def test_the_computed_digest_of_a_url(self):
        self.wants_it_from_then_on(self.config_without_digest(self.source),
                                   lambda file: shutil.copyfile(file, self.web / "model.gguf"))

    def test_a_url_that_refuses_head(self):
        for status in (403, 405, 501):
            with self.subTest(status):
                self.origin.fault(fetching.PATH, status=status, method="HEAD")
                self.ends_well(self.config_without_digest(self.source))
                shutil.rmtree(self.store)

    def test_wrong_bytes_of_a_published_digest_are_repaired(self):
        self.hub.cdn.fault(self.hub.cdn_path(REPOSITORY, self.commit, "model.gguf"), flip_at=1_000_000, times=1)
        client = self.ends_well(self.config_without_digest())
        self.assertIn("repaired", story.warnings(client.events))

    def test_html_is_no_model(self):
        self.origin.fault(fetching.PATH, html=True)
        self.ends_in(("invalid_gguf", "bad_source", "http_status"), self.config_without_digest(self.source))


class FirstUseInPlace(ggufd.DaemonTest):
    def test_an_exchanged_file_is_refused_until_the_pin_is_forgotten(self):
        file = self.model("a.gguf", size_mb=2, seed=1)
        config = self.config_for(file.path, pin="first-use", n_ctx=256)
        daemon, _, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        self.stop(daemon)
        self.assertIn("in place", self.ggufctl("ls"))
        shutil.copy(self.model("b.gguf", size_mb=2, seed=2).path, file.path)
        daemon, _, outcome = self.bring_up(config)
        self.assert_error(outcome, "sha256_mismatch")
        self.assertIn("`ggufctl rm tiny`", outcome["message"])
        self.stop(daemon)
        self.ggufctl("rm", "--yes", "tiny")
        daemon, _, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        self.stop(daemon)

    def ggufctl(self, *arguments):
        code, printed, errors = ggufd.run_program("ggufctl", "--store", self.store, *arguments, folder=self.folder)
        self.assertEqual(code, 0, errors)
        return printed


if __name__ == "__main__":
    unittest.main()
