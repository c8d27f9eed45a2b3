"""ggufctl inspect and plan: of files, of URLs of which only the header is fetched, and of models."""

import json
import subprocess
import unittest

import ggufd
import process
import split
from origin import Origin

DONE, FAILED, USAGE = 0, 1, 2
KIB = 1024
PATH = "/model.gguf"
# What make_gguf can do to a file, and the finding that names it.
DAMAGES = {
    "magic": "bad_magic",
    "version-1": "unsupported_version",
    "big-endian": "big_endian",
    "key-count": "count_beyond_file",
    "tensor-count": "count_beyond_file",
    "duplicate-key": "duplicate_key",
    "string-length": "string_too_long",
    "alignment": "bad_alignment",
    "duplicate-tensor": "duplicate_tensor",
    "tensor-type": "removed_tensor_type",
    "tensor-bounds": "tensor_outside_file",
    "token-id": "token_out_of_range",
    "truncate": "tensor_outside_file",
}


class InspectTest(ggufd.DaemonTest):
    def ctl(self, *arguments, **more_environment):
        """(exit code, stdout, stderr)"""
        return ggufd.run_program("ggufctl", *arguments, "--store", self.store, "--runtime-dir", self.runtime_dir,
                                 folder=self.folder, **more_environment)

    def document(self, *arguments, expected=DONE):
        code, printed, errors = self.ctl(*arguments, "--json")
        self.assertEqual(code, expected, printed + errors)
        return json.loads(printed)

    def configured(self, source, file=None, **more):
        """The path of a configuration with the model `tiny`."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.config_for(source, file, **more)))
        return path


class Files(InspectTest):
    def test_a_sound_file(self):
        file = self.model()
        told = self.document("inspect", file.path)
        self.assertEqual(list(told)[:15], [
            "valid", "path", "version", "alignment", "architecture", "name", "parameters", "bits_per_weight", "file_bytes",
            "data_offset", "keys", "tensors", "types", "defects", "defects_found"])
        self.assertIs(told["valid"], True)
        self.assertEqual((told["architecture"], told["version"], told["alignment"]), ("llama", 3, 32))
        self.assertEqual(told["file_bytes"], file.size_bytes)
        self.assertEqual(told["keys"]["llama.context_length"], 512)
        self.assertEqual(set(told["keys"]["tokenizer.ggml.tokens"]), {"type", "count", "first"})
        self.assertEqual(sum(each["tensors"] for each in told["types"].values()), len(told["tensors"]))
        bits = 8 * sum(tensor["bytes"] for tensor in told["tensors"]) / told["parameters"]
        self.assertAlmostEqual(told["bits_per_weight"], bits)
        last = told["tensors"][-1]
        self.assertLessEqual(told["data_offset"] + last["offset"] + last["bytes"], file.size_bytes)
        code, printed, _ = self.ctl("inspect", file.path, "--tensors")
        self.assertEqual(code, DONE)
        self.assertIn("valid: no defect was found", printed)
        self.assertIn(last["name"], printed)

    def test_each_damage_is_found_and_named(self):
        for damage, finding in DAMAGES.items():
            with self.subTest(damage):
                file = self.model(f"{damage}.gguf", size_mb=1, damage=damage)
                told = self.document("inspect", file.path, expected=FAILED)
                self.assertIs(told["valid"], False)
                self.assertIn(finding, [defect["code"] for defect in told["defects"]])
                code, printed, _ = self.ctl("inspect", file.path)
                self.assertEqual(code, FAILED)
                self.assertIn(finding, printed)
                self.assertIn("invalid: ", printed)
                code, printed, errors = self.ctl("plan", file.path)
                self.assertEqual((code, printed), (FAILED, ""))
                self.assertIn(str(file.path), errors)

    def test_plan_of_a_file(self):
        file = self.model()
        told = self.document("plan", file.path, "--n-ctx", "512,1024", "--n-seq", 2)
        tensors = self.document("inspect", file.path)["tensors"]
        self.assertEqual(told["weights_bytes"], sum(tensor["bytes"] for tensor in tensors))
        self.assertEqual(told["total_bytes"], told["weights_bytes"] + told["kv_bytes"] + told["compute_bytes"])
        self.assertEqual((told["n_ctx"], told["n_seq"], told["kv"]["cells"]), (512, 2, 512))
        self.assertIs(told["fits"], True)
        self.assertEqual(told["others"][0]["kv_bytes"], 2 * told["kv_bytes"])
        self.assertIn("MemAvailable", [limit["name"] for limit in told["limits"]])

    def test_a_plan_that_does_not_fit(self):
        file = self.model()
        config = self.folder / "config.json"
        config.write_text(json.dumps({"memory_headroom_bytes": 1 << 50}))
        told = self.document("plan", file.path, "--config", config, expected=FAILED)
        self.assertIs(told["fits"], False)
        self.assertEqual((told["available_bytes"], told["largest_n_ctx"]), (0, 0))
        code, printed, _ = self.ctl("plan", file.path, "--config", config)
        self.assertEqual(code, FAILED)
        self.assertIn("does not fit", printed)

    def test_a_split_model(self):
        shards = split.split_model(self.model().path, 3)
        whole = self.document("inspect", self.web / "model.gguf")
        told = self.document("inspect", shards[0])
        self.assertEqual(told["parameters"], whole["parameters"])
        self.assertEqual([shard["path"] for shard in told["shards"]], [str(shard) for shard in shards])
        self.assertEqual(self.document("plan", shards[0])["total_bytes"],
                         self.document("plan", self.web / "model.gguf")["total_bytes"])
        shards[1].unlink()
        parts = self.document("inspect", shards[0], expected=1)
        self.assertEqual((parts["valid"], parts["missing"]), (False, [str(shards[1])]))

    def test_a_reader_that_goes_is_no_mishap(self):
        file = self.model()
        command = [str(ggufd.bin_dir() / "ggufctl"), "inspect", str(file.path), "--json"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ggufd.environment(self.folder))
        self.addCleanup(process.end, child)
        child.stdout.close()
        self.assertEqual(child.stderr.read(), b"")
        child.stderr.close()
        child.wait(ggufd.LIMIT_S)


class Urls(InspectTest):
    size_mb = 16

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=self.size_mb)
        self.origin = self.enterContext(Origin(self.web))

    def header_bytes(self):
        return self.document("inspect", self.file.path)["data_offset"]

    def test_only_the_header_is_asked_for(self):
        here = self.document("inspect", self.file.path)
        there = self.document("inspect", self.origin.url("model.gguf"))
        self.assertEqual(there | {"path": ""}, here | {"path": ""})
        asked = self.origin.requests(PATH)
        self.assertEqual({request.method for request in asked}, {"GET"})
        self.assertEqual([request.status for request in asked], [206] * len(asked))
        ranges = [(request.first, request.last + 1) for request in asked]
        self.assertEqual(ranges[0], (0, 64 * KIB))
        self.assertEqual([first for first, _ in ranges[1:]], [end for _, end in ranges[:-1]], "nothing is asked for twice")
        self.assertLess(self.origin.sent_bytes(PATH), 4 * self.header_bytes() + 64 * KIB)

    def test_plan_of_a_url_is_the_file_s(self):
        here = self.document("plan", self.file.path)
        there = self.document("plan", self.origin.url("model.gguf"))
        for key in ("architecture", "name", "n_ctx", "weights_bytes", "kv_bytes", "compute_bytes", "total_bytes"):
            self.assertEqual(there[key], here[key])

    def test_a_server_without_ranges_is_left_in_mid_stream(self):
        self.origin.fault(PATH, ignore_range=True)
        self.origin.throttle(PATH, 4_000_000)  # what is in flight when we leave is little
        told = self.document("inspect", self.origin.url("model.gguf"))
        self.assertIs(told["valid"], True)
        self.assertEqual(told["file_bytes"], self.file.size_bytes)
        self.assertLess(self.origin.sent_bytes(PATH), self.file.size_bytes // 2)

    def test_a_size_that_the_server_does_not_tell_is_null(self):
        self.origin.fault(PATH, chunked=True)
        self.origin.throttle(PATH, 4_000_000)
        told = self.document("inspect", self.origin.url("model.gguf"))
        self.assertIsNone(told["file_bytes"])
        self.assertIs(told["valid"], True)

    def test_what_never_ends_and_is_no_gguf_is_left(self):
        self.origin.fault(PATH, endless="noise")
        told = self.document("inspect", self.origin.url("model.gguf"), expected=FAILED)
        self.assertEqual(told["defects"][0]["code"], "bad_magic")

    def test_a_source_that_fails(self):
        for fault, words in (({"status": 404}, "404"), ({"status": 503}, "503"), ({"cut_at": 1000}, ""),
                             ({"redirect": PATH}, "")):
            with self.subTest(fault):
                self.origin.fault(PATH, **fault)
                code, printed, errors = self.ctl("inspect", self.origin.url("model.gguf"))
                self.assertEqual((code, printed), (FAILED, ""))
                self.assertIn(words, errors)
                self.assertTrue(errors.startswith("ggufctl: "), errors)

    def test_a_page_instead_of_a_model(self):
        self.origin.fault(PATH, html=True)
        told = self.document("inspect", self.origin.url("model.gguf"), expected=FAILED)
        self.assertEqual(told["defects"][0]["code"], "bad_magic")

    def test_the_shards_of_a_url(self):
        shards = split.split_model(self.file.path, 2)
        told = self.document("plan", self.origin.url(shards[0].name))
        self.assertEqual(told["total_bytes"], self.document("plan", self.file.path)["total_bytes"])
        self.assertLess(self.origin.sent_bytes(), self.file.size_bytes // 4)


class Models(InspectTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()
        self.origin = self.enterContext(Origin(self.web))
        self.url = self.origin.url("model.gguf")

    def test_a_configured_model_that_is_not_in_the_store_is_looked_at_at_its_source(self):
        config = self.configured(self.url, self.file, n_ctx=512)
        told = self.document("inspect", "tiny", "--config", config)
        self.assertEqual(told["path"], self.url)
        self.assertEqual(self.document("plan", "tiny", "--config", config)["n_ctx"], 512)
        self.assertEqual(list(self.store.glob("blobs/sha256/*/*")), [], "nothing is put into the store")

    def test_a_model_of_the_store_is_not_asked_for(self):
        config = self.config_for(self.url, self.file, n_ctx=512)
        daemon, _, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        self.stop(daemon)
        self.origin.forget_requests()
        told = self.document("inspect", "tiny", "--config", self.folder / "config.json")
        self.assertEqual(told["path"], str(self.blob(self.file)))
        self.assertEqual(self.document("plan", "tiny", "--config", self.folder / "config.json")["n_ctx"], 512)
        # The manifest knows it as well.
        self.assertEqual(self.document("plan", "tiny")["n_ctx"], 8192)
        self.assertEqual(self.origin.requests(), [])

    def test_a_daemon_plans_its_own_model(self):
        daemon, _, outcome = self.bring_up(self.config_for(self.url, self.file, n_ctx=512))
        self.assert_ready(outcome, daemon)
        self.origin.forget_requests()
        told = self.document("plan", "tiny", "--n-ctx", "256,512")
        self.assertEqual(told["type"], "response")
        self.assertEqual((told["n_ctx"], told["others"][0]["n_ctx"]), (256, 512))
        self.assertIn("held_bytes", told)
        here = self.document("plan", self.file.path, "--n-ctx", 256)
        for key in ("weights_bytes", "kv_bytes", "compute_bytes", "total_bytes"):
            self.assertEqual(told[key], here[key])
        code, printed, errors = self.ctl("plan", "tiny")
        self.assertEqual((code, errors), (DONE, ""))
        self.assertIn("fits: ", printed)
        self.assertEqual(self.origin.requests(), [])
        self.stop(daemon)

    def test_what_the_daemon_has_not_fetched_is_planned_from_its_source(self):
        config = self.config_for(self.url, self.file, load="manual", n_ctx=512)
        daemon = self.start(config)
        self.connect(daemon).until_status("starting")
        code, printed, errors = self.ctl("plan", "tiny", "--config", self.folder / "config.json", "--json")
        self.assertEqual(code, DONE, errors)
        self.assertEqual(json.loads(printed)["n_ctx"], 512)
        self.assertGreater(len(self.origin.requests()), 0)
        self.stop(daemon)

    def test_a_name_that_nobody_knows(self):
        code, printed, errors = self.ctl("plan", "nothing")
        self.assertEqual((code, printed), (FAILED, ""))
        self.assertIn('"nothing" is no file, no URL, no configured model', errors)


if __name__ == "__main__":
    unittest.main()
