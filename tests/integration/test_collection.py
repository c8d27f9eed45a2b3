"""The store as a collection: ls, rm, gc and import, without a daemon and beside one."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import unittest

import ggufd
import process
import split
from origin import Origin

DONE, FAILED, USAGE = 0, 1, 2


class CollectionTest(ggufd.DaemonTest):
    def ctl(self, *arguments, **more_environment):
        """(exit code, stdout, stderr)"""
        return ggufd.run_program("ggufctl", "--store", self.store, *arguments, folder=self.folder, **more_environment)

    def done(self, *arguments, **more_environment):
        code, printed, errors = self.ctl(*arguments, **more_environment)
        self.assertEqual(code, DONE, printed + errors)
        return printed

    def listing(self):
        return json.loads(self.done("ls", "--json"))

    def names(self):
        return [model["name"] for model in self.listing()["models"]]

    def partials(self):
        return list(self.store.glob("blobs/sha256/*/.partial-*"))

    def loaded(self):
        """A daemon that serves a model from the store, and the model's file."""
        file = self.model()
        origin = self.enterContext(Origin(self.web))
        daemon, _, outcome = self.bring_up(self.config_for(origin.url("model.gguf"), file))
        self.assert_ready(outcome, daemon)
        return daemon, file


class BesideADaemon(CollectionTest):
    def test_ls_tells_what_the_daemon_has_fetched(self):
        daemon, file = self.loaded()
        self.assertEqual(set(self.listing()), {"models", "orphans", "partials", "quarantine", "problems"})
        model, = self.listing()["models"]
        self.assertEqual((model["name"], model["sha256"], model["size_bytes"]), ("tiny", file.sha256, file.size_bytes))
        self.assertIn(model["integrity"], ("stat-cached", "kernel-enforced"))
        self.assertRegex(model["verified_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(model["path"], str(self.blob(file)))
        self.stop(daemon)

    def test_a_loaded_model_is_not_removed_and_an_unloaded_one_is(self):
        daemon, file = self.loaded()
        code, _, errors = self.ctl("rm", "tiny")
        self.assertEqual(code, FAILED)
        self.assertIn("in use", errors)
        self.assertEqual(self.names(), ["tiny"])
        self.assertTrue(self.blob(file).exists())
        with daemon.connect() as client:
            self.assertEqual(client.ask("unload", wait=True)["type"], "response")
        self.done("rm", "tiny")
        self.assertEqual(self.names(), [])
        self.assertFalse(self.blob(file).exists())
        self.stop(daemon)

    def test_gc_leaves_a_loaded_blob_that_lost_its_manifest(self):
        daemon, file = self.loaded()
        (self.store / "manifests/tiny.json").unlink()
        self.assertTrue(self.listing()["orphans"][0]["in_use"])
        self.assertIn("in use", self.done("gc"))
        self.assertTrue(self.blob(file).exists())
        self.stop(daemon)
        self.done("gc")
        self.assertFalse(self.blob(file).exists())

    def test_gc_leaves_a_download_that_is_under_way(self):
        file = self.model()
        origin = self.enterContext(Origin(self.web))
        origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
        daemon = self.start(self.config_for(origin.url("model.gguf"), file))
        origin.wait_until_stalled("/model.gguf")
        partial, = self.listing()["partials"]
        self.assertTrue(partial["in_use"])
        self.assertIn("being written", self.done("gc"))
        self.assertEqual(len(self.partials()), 1)
        self.stop(daemon)

    def test_what_was_imported_is_loaded_without_asking_the_network(self):
        file = self.model()
        self.done("import", file.path, "--name", "tiny")
        daemon, _, outcome = self.bring_up(self.config_for("https://127.0.0.1:9/model.gguf", file))
        self.assert_ready(outcome, daemon)
        self.stop(daemon)


class Import(CollectionTest):
    def test_a_file_is_copied_verified_and_named(self):
        file = self.model()
        self.done("import", file.path)
        blob = self.blob(file)
        self.assertEqual(blob.read_bytes(), file.path.read_bytes())
        self.assertEqual(stat.S_IMODE(blob.stat().st_mode), 0o444)
        self.assertNotEqual(blob.stat().st_ino, file.path.stat().st_ino)
        manifest = json.loads((self.store / "manifests/model.json").read_text())
        self.assertEqual(manifest["blob"], f"sha256:{file.sha256}")
        self.assertEqual(manifest["source"]["registry"], "file")
        self.assertEqual(self.partials(), [])
        self.assertIn("was there already", self.done("import", "--from", file.path))

    def test_a_split_model_is_one_and_goes_as_one(self):
        shards = split.split_model(self.model().path, 3)
        self.done("import", shards[1])
        model, = self.listing()["models"]
        digests = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards]
        self.assertEqual(model["shards"], digests)
        self.assertEqual(model["size_bytes"], sum(shard.stat().st_size for shard in shards))
        for shard in shards:
            link = self.store / "links" / model["name"] / shard.name
            self.assertEqual(link.read_bytes(), shard.read_bytes())
            self.assertFalse(os.path.isabs(os.readlink(link)))
        self.done("rm", model["name"])
        self.assertEqual(list((self.store / "blobs").rglob("data")), [])
        self.assertFalse((self.store / "links" / model["name"]).exists())

    def test_an_interrupted_import_leaves_only_a_partial_and_the_next_one_finishes(self):
        path = self.model("big.gguf").path
        # Behind the tensors there may be anything: as a hole it costs nothing to make.
        os.truncate(path, 512 << 20)
        command = [str(ggufd.bin_dir() / "ggufctl"), "--store", str(self.store), "import", str(path)]
        child = subprocess.Popen(process.tied_to_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env=ggufd.environment(self.folder))
        self.addCleanup(process.end, child)
        half_done = "blobs/sha256/*/.partial-*/data.tmp"
        process.wait_until(lambda: any(data.stat().st_size for data in self.store.glob(half_done)), child, ggufd.LIMIT_S,
                           "the partial")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(ggufd.LIMIT_S), -signal.SIGINT)
        self.assertEqual(len(self.partials()), 1)
        self.assertEqual(self.names(), [])
        self.assertEqual(list(self.store.glob("blobs/sha256/*/*/data")), [])
        self.done("import", path)
        self.assertEqual(self.names(), ["big"])
        self.assertEqual(self.partials(), [])

    def test_two_imports_of_one_file_do_not_collide(self):
        file = self.model(size_mb=64)
        command = [str(ggufd.bin_dir() / "ggufctl"), "--store", str(self.store), "import", str(file.path), "--name"]
        children = [subprocess.Popen(process.tied_to_us([*command, name]), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ggufd.environment(self.folder))
                    for name in ("a", "b")]
        outcomes = [(child.communicate(timeout=ggufd.LIMIT_S)[1].decode(), child.returncode) for child in children]
        self.assertIn(DONE, [code for _, code in outcomes])
        for errors, code in outcomes:
            if code != DONE:
                self.assertIn("another", errors)
        self.assertEqual(ggufd.model_file(self.blob(file)).sha256, file.sha256)
        self.assertEqual(self.partials(), [])

    def test_a_cache_of_hugging_face(self):
        file = self.model()
        repository = self.folder / "hub/models--org--repo"
        (repository / "blobs").mkdir(parents=True)
        (repository / "snapshots/0123abcd").mkdir(parents=True)
        (repository / "blobs" / file.sha256).write_bytes(file.path.read_bytes())
        (repository / "snapshots/0123abcd/w.gguf").symlink_to(f"../../blobs/{file.sha256}")
        place = {"HF_HUB_CACHE": self.folder / "hub"}
        found, = json.loads(self.done("import", "--from", "hf", "--list", "--json", **place))["found"]
        self.assertEqual((found["title"], found["size_bytes"]), ("org/repo/w.gguf", file.size_bytes))
        self.done("import", "--from", "hf", "org/repo/w.gguf", **place)
        manifest = json.loads((self.store / "manifests/w.json").read_text())
        self.assertEqual(manifest["source"], {"registry": "huggingface.co", "repo": "org/repo", "revision": "0123abcd",
                                              "filename": "w.gguf"})
        self.assertTrue(self.blob(file).exists())

    def test_a_model_of_ollama_whose_bytes_are_others_is_refused(self):
        file = self.model()
        claimed = "0" * 64
        root = self.folder / "ollama"
        (root / "blobs").mkdir(parents=True)
        (root / "manifests/registry.ollama.ai/library/m").mkdir(parents=True)
        (root / "blobs" / f"sha256-{claimed}").write_bytes(file.path.read_bytes())
        (root / "manifests/registry.ollama.ai/library/m/latest").write_text(json.dumps(
            {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{claimed}"}]}))
        code, _, errors = self.ctl("import", "--from", "ollama", OLLAMA_MODELS=root)
        self.assertEqual(code, FAILED)
        self.assertIn(file.sha256, errors)
        self.assertEqual(self.names(), [])
        self.assertEqual(list(self.store.rglob("data*")), [])


class Terminal(CollectionTest):
    def on_a_terminal(self, answer, *arguments):
        """(exit code, all that was shown): the program on a terminal of its own, and what is typed there."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        child = subprocess.Popen(
            process.tied_to_us([str(ggufd.bin_dir() / "ggufctl"), "--store", str(self.store), *map(str, arguments)]),
            stdin=theirs, stdout=theirs, stderr=theirs, env=ggufd.environment(self.folder, TERM="xterm"))
        self.addCleanup(process.end, child)
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # EIO: the other side has closed
                break
            if not piece:
                break
            shown += piece
        return child.wait(ggufd.LIMIT_S), shown.decode()

    def test_rm_asks_and_takes_no_for_an_answer(self):
        self.done("import", self.model().path)
        code, shown = self.on_a_terminal(b"n\n", "rm", "model")
        self.assertEqual(code, FAILED)
        self.assertIn("Remove all this?", shown)
        self.assertEqual(self.names(), ["model"])
        code, shown = self.on_a_terminal(b"y\n", "rm", "model")
        self.assertEqual(code, DONE, shown)
        self.assertEqual(self.names(), [])

    def test_with_json_it_is_said_what_goes_before_the_question(self):
        self.done("import", self.model().path)
        code, shown = self.on_a_terminal(b"n\n", "rm", "model", "--json")
        self.assertEqual(code, FAILED)
        plan, _, rest = shown.partition("Remove all this?")
        self.assertIn("model.json", plan)
        self.assertIn(" in all", plan)
        self.assertIn('"error":"nothing was removed"', rest)
        self.assertEqual(self.names(), ["model"])

    def test_yes_is_not_asked(self):
        self.done("import", self.model().path)
        code, shown = self.on_a_terminal(b"", "rm", "model", "--yes")
        self.assertEqual(code, DONE)
        self.assertNotIn("Remove all this?", shown)

    def test_import_shows_how_far_it_is(self):
        file = self.model(size_mb=16)
        code, shown = self.on_a_terminal(b"", "import", file.path)
        self.assertEqual(code, DONE)
        self.assertIn("import", shown)
        self.assertIn("%", shown)


if __name__ == "__main__":
    unittest.main()
