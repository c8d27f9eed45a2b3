"""Several sources of the same bytes: the next one is asked when one is no good."""

import unittest

import fetching
import origin as origins
import tls
from fetching import PATH
from origin import Origin


class Mirrors(fetching.FetchTest):
    def setUp(self):
        super().setUp()
        self.other = self.enterContext(Origin(self.web, host="127.0.0.2"))
        self.both = [self.source, self.other.url("model.gguf")]

    def comes_from_the_second(self, config=None):
        client = self.ends_well(config or self.config(self.both))
        self.assertEqual(self.phases_of(client, "download")[-1]["source_url"], self.other.url("model.gguf"))
        self.assertEqual(self.quarantined(), [])
        return client

    def test_the_first_is_preferred(self):
        client = self.ends_well(self.config(self.both))
        self.assertEqual({event["source_url"] for event in self.phases_of(client, "download")}, {self.source})
        self.assertEqual(self.other.requests(), [])

    def test_the_first_refuses(self):
        self.origin.fault(PATH, status=404)
        self.comes_from_the_second()
        self.assertEqual(len(self.origin.requests()), 1)

    def test_the_first_is_down(self):
        down = f"http://127.0.0.1:{origins.refused_port()}/model.gguf"
        self.comes_from_the_second(self.config([down, self.both[1]], fetch={"retries": 0}))

    def test_the_first_is_busy_for_ever(self):
        self.origin.fault(PATH, status=503)
        self.comes_from_the_second(self.config(self.both, fetch={"retries": 1}))
        self.assertEqual(len(self.origin.requests()), 2)

    def test_the_first_breaks_off_half_way(self):
        self.origin.fault(PATH, cut_at=self.file.size_bytes // 2)
        self.comes_from_the_second(self.config(self.both, fetch={"retries": 1}))

    def test_the_first_is_not_trusted(self):
        certificate = tls.make_certificate(self.folder / "tls")
        with Origin(self.web, tls=(certificate.chain_file, certificate.key_file)) as untrusted:
            self.comes_from_the_second(self.config([untrusted.url("model.gguf"), self.both[1]]))

    def test_the_first_has_another_size(self):
        (self.web / "short.gguf").write_bytes(self.file.path.read_bytes()[:-1000])
        sources = [self.origin.url("short.gguf"), self.both[1]]
        self.comes_from_the_second(self.config(sources, size_bytes=self.file.size_bytes))

    def test_the_first_serves_a_page(self):
        self.origin.fault(PATH, html=True)
        client = self.ends_well(self.config(self.both))
        self.assertEqual(self.phases_of(client, "download")[-1]["source_url"], self.both[1])
        self.assertEqual(len(self.phases_of(client, "quarantine")), 1)

    def test_the_first_serves_a_page_and_no_digest_is_known(self):
        self.origin.fault(PATH, html=True)
        self.comes_from_the_second(self.config_without_digest(self.both))

    def test_all_are_no_good(self):
        self.origin.fault(PATH, status=404)
        self.other.fault(PATH, status=410)
        self.ends_in("http_status", self.config(self.both))
        self.assertEqual(list(self.store.glob("blobs/sha256/*/.partial-*")), [], "nothing has arrived")


class FilesAmongMirrors(fetching.FetchTest):
    def test_a_missing_file_and_then_the_network(self):
        self.ends_well(self.config([self.folder / "nowhere.gguf", self.source]))

    def test_a_file_that_is_there_is_used_in_place(self):
        for file in (self.file.path, f"file://{self.file.path}"):
            with self.subTest(file):
                daemon, client, outcome = self.bring_up(self.config([file, self.source]))
                self.assert_ready(outcome, daemon)
                fetching.story.check_all(client.events, "tiny")
                self.assertEqual(self.origin.requests(), [])
                self.assertFalse(self.blob(self.file).exists())
                self.stop(daemon)

    def test_a_file_behind_a_source_that_is_down(self):
        down = f"http://127.0.0.1:{origins.refused_port()}/model.gguf"
        daemon, _, outcome = self.bring_up(self.config([down, self.file.path], fetch={"retries": 0}))
        self.assert_ready(outcome, daemon)
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
