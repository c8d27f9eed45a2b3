"""ggufctl: its verbs, their outputs and their exit codes."""

import json
import signal
import subprocess
import unittest

import ggufd
import process
from origin import Origin

DONE, FAILED, USAGE, NO_DAEMON = 0, 1, 2, 3


class CtlTest(ggufd.DaemonTest):
    def ctl(self, *arguments):
        return ggufd.run_program("ggufctl", "--runtime-dir", self.runtime_dir, *arguments, folder=self.folder)

    def start_ctl(self, *arguments):
        command = [str(ggufd.bin_dir() / "ggufctl"), "--runtime-dir", str(self.runtime_dir), *arguments]
        child = subprocess.Popen(process.tied_to_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=ggufd.environment(self.folder))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.addCleanup(process.end, child)
        return child

    def ready_daemon(self):
        file = self.model()
        daemon, client, outcome = self.bring_up(self.config_for(file.path, file))
        self.assert_ready(outcome, daemon)
        return daemon, client, file

    def failed_daemon(self):
        daemon, client, outcome = self.bring_up(self.config_for(self.web / "none.gguf", sha256="0" * 64))
        self.assertEqual(outcome["status"], "error")
        return daemon, client

    def stalled_daemon(self):
        """A daemon in the middle of a download, and the origin that can let it go on."""
        file = self.model()
        origin = self.enterContext(Origin(self.web))
        origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
        daemon = self.start(self.config_for(origin.url("model.gguf"), file))
        origin.wait_until_stalled("/model.gguf")
        return daemon, origin


class CommandLine(CtlTest):
    def test_without_a_daemon_it_is_3(self):
        for verb in (["status"], ["wait"], ["watch"], ["health"], ["drain"]):
            with self.subTest(verb=verb):
                code, _, errors = self.ctl(*verb)
                self.assertEqual(code, NO_DAEMON, errors)
                self.assertTrue(errors.strip())

    def test_a_wrong_command_line_is_2(self):
        for arguments in (["dance"], ["status", "--no-such-option"], [], ["wait", "--timeout", "soon"]):
            with self.subTest(arguments=arguments):
                code, _, errors = self.ctl(*arguments)
                self.assertEqual(code, USAGE, errors)

    def test_help_is_0(self):
        code, printed, _ = self.ctl("--help")
        self.assertEqual(code, DONE)
        for verb in ("status", "watch", "wait", "health", "drain"):
            self.assertIn(verb, printed)

    def test_options_go_before_or_after_the_verb_and_socket_names_one(self):
        daemon, _, _ = self.ready_daemon()
        socket = daemon.admin_socket
        for arguments in (["--socket", socket, "--json", "status"], ["status", "--socket", socket, "--json"],
                          ["status", "--json", "--runtime-dir", self.runtime_dir]):
            with self.subTest(arguments=arguments):
                code, printed, errors = ggufd.run_program("ggufctl", *arguments, folder=self.folder)
                self.assertEqual(code, DONE, errors)
                self.assertEqual(json.loads(printed)["models"][0]["name"], "tiny")
        self.stop(daemon)


class Status(CtlTest):
    def test_a_table(self):
        daemon, _, _ = self.ready_daemon()
        code, printed, _ = self.ctl("status")
        self.assertEqual(code, DONE)
        self.assertIn("tiny", printed)
        self.assertIn("ready", printed)
        self.stop(daemon)

    def test_one_model_and_an_unknown_one(self):
        daemon, _, _ = self.ready_daemon()
        self.assertEqual(self.ctl("status", "tiny")[0], DONE)
        code, _, errors = self.ctl("status", "nobody")
        self.assertEqual(code, FAILED)
        self.assertIn("nobody", errors)
        self.stop(daemon)

    def test_json_is_the_answer_as_it_came(self):
        daemon, client, file = self.ready_daemon()
        code, printed, _ = self.ctl("status", "--json")
        self.assertEqual(code, DONE)
        answer = json.loads(printed)
        self.assertEqual(answer["type"], "response")
        self.assertEqual(answer["models"], client.ask("status")["models"])
        self.stop(daemon)


class Wait(CtlTest):
    def test_ready_is_0_at_once_or_later(self):
        daemon, origin = self.stalled_daemon()
        waiting = self.start_ctl("wait")
        origin.clear("/model.gguf")
        self.assertEqual(waiting.wait(ggufd.LIMIT_S), DONE)
        self.assertEqual(self.ctl("wait")[0], DONE)
        self.assertEqual(self.ctl("wait", "tiny")[0], DONE)
        self.stop(daemon)

    def test_an_error_is_1_and_says_why(self):
        daemon, client = self.failed_daemon()
        code, _, errors = self.ctl("wait")
        self.assertEqual(code, FAILED)
        self.assertIn("none.gguf", errors)
        self.stop(daemon)

    def test_a_time_limit_is_1(self):
        daemon, _ = self.stalled_daemon()
        code, _, errors = self.ctl("wait", "--timeout", "1")
        self.assertEqual(code, FAILED)
        self.assertTrue(errors.strip())
        self.stop(daemon)

    def test_an_unknown_model_is_1(self):
        daemon, _, _ = self.ready_daemon()
        self.assertEqual(self.ctl("wait", "nobody", "--timeout", "20")[0], FAILED)
        self.stop(daemon)

    def test_a_daemon_that_stops_is_a_failure(self):
        daemon, _ = self.stalled_daemon()
        waiting = self.start_ctl("wait")
        with daemon.connect() as client:
            process.wait_until(lambda: client.ask("status")["subscribers"] >= 2, daemon.process, ggufd.LIMIT_S, "the waiter")
        daemon.signal(signal.SIGTERM)
        self.assertNotEqual(waiting.wait(ggufd.LIMIT_S), DONE)
        self.assertEqual(daemon.wait(), 0)


class Watch(CtlTest):
    def test_json_is_the_raw_frames(self):
        daemon, client, _ = self.ready_daemon()
        watch = self.start_ctl("watch", "--json")
        frames = [json.loads(watch.stdout.readline()) for _ in range(2)]
        self.assertEqual([frame["status"] for frame in frames], ["capabilities", "ready"])
        self.assertEqual(frames[1], client.events[-1])
        daemon.signal(signal.SIGTERM)
        rest = [json.loads(line)["status"] for line in watch.stdout]
        self.assertEqual(rest, ["draining", "unloading", "unloaded"])
        watch.wait(ggufd.LIMIT_S)
        self.assertEqual(daemon.wait(), 0)

    def test_piped_it_writes_plain_lines(self):
        daemon, origin = self.stalled_daemon()
        watch = self.start_ctl("watch")
        first = watch.stdout.readline().decode()
        self.assertIn("tiny", first)
        origin.clear("/model.gguf")
        with daemon.connect() as client:
            client.until_status("ready")
        daemon.signal(signal.SIGTERM)
        printed = first + watch.stdout.read().decode()
        watch.wait(ggufd.LIMIT_S)
        self.assertIn("ready", printed)
        for sign in ("\x1b", "\r"):
            self.assertNotIn(sign, printed, "control sequences are for terminals")
        self.assertEqual(daemon.wait(), 0)

    def test_a_closed_pipe_ends_it(self):
        daemon, _, _ = self.ready_daemon()
        watch = self.start_ctl("watch", "--json")
        watch.stdout.readline()
        watch.stdout.close()
        daemon.signal(signal.SIGTERM)
        watch.wait(ggufd.LIMIT_S)
        self.assertEqual(daemon.wait(), 0)


class Health(CtlTest):
    def test_ready_is_0(self):
        daemon, _, _ = self.ready_daemon()
        code, printed, errors = self.ctl("health")
        self.assertEqual(code, DONE, errors)
        document = json.loads(printed)
        self.assertEqual((document["status"], document["model"], document["backend"]), ("ok", "tiny", "resident"))
        self.assertEqual((document["warm_up_state"], document["state"]), ("ready", "ready"))
        self.assertEqual(document["availability"]["code"], 200)
        self.assertIsNone(document["availability"]["message"])
        self.stop(daemon)

    def test_loading_and_failed_are_1(self):
        daemon, _ = self.stalled_daemon()
        code, printed, _ = self.ctl("health")
        self.assertEqual(code, FAILED)
        self.assertEqual(json.loads(printed)["status"], "starting")
        self.assertEqual(json.loads(printed)["availability"]["name"], "DOWNLOADING")
        self.stop(daemon)
        daemon, _ = self.failed_daemon()
        code, printed, _ = self.ctl("health")
        self.assertEqual(code, FAILED)
        self.assertEqual(json.loads(printed)["status"], "unhealthy")
        self.assertEqual(json.loads(printed)["availability"]["code"], 500)
        self.stop(daemon)


class Drain(CtlTest):
    def test_it_returns_when_the_daemon_is_gone(self):
        daemon, _, _ = self.ready_daemon()
        code, _, errors = self.ctl("drain")
        self.assertEqual(code, DONE, errors)
        self.assertEqual(daemon.wait(), 0)
        self.assertFalse(daemon.admin_socket.exists())


if __name__ == "__main__":
    unittest.main()
