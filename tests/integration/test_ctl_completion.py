"""The completion scripts of ggufctl, in the shells that they are for."""

import shutil
import socket
import subprocess
import unittest

import ggufd
from terminal import OnTerminal

VERBS = ["status", "watch", "wait", "health", "load", "unload", "reload", "cancel", "pull", "verify", "drain", "doctor", "inspect", "plan",
         "import", "ls", "rm", "gc", "completion"]


class CompletionTest(ggufd.DaemonTest):
    def setUp(self):
        super().setUp()
        self.scripts = {}
        for shell in ("bash", "zsh", "fish"):
            code, script, errors = ggufd.run_program("ggufctl", "completion", shell, folder=self.folder)
            self.assertEqual((code, errors), (0, ""))
            self.scripts[shell] = self.folder / f"script.{shell}"
            self.scripts[shell].write_text(script)
        self.config = self.folder / "config.json"
        self.config.write_text('{"models":[{"name":"alpha","source":"/a.gguf"},{"name":"beta","source":"/b.gguf"}]}')

    def shell(self, program, *arguments):
        environment = ggufd.environment(self.folder, GGUFD_RUNTIME_DIR=self.runtime_dir)
        environment["PATH"] = f"{ggufd.bin_dir()}:{environment['PATH']}"
        done = subprocess.run([program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=ggufd.LIMIT_S, env=environment, cwd=self.web)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""))
        return sorted(done.stdout.decode().splitlines())

    def need(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is not here")


class Bash(CompletionTest):
    def complete(self, *words):
        """What bash offers for the last of the words behind `ggufctl`."""
        driver = ('source "$1"; shift; COMP_WORDS=(ggufctl "$@"); COMP_CWORD=$#; _ggufctl ggufctl "${COMP_WORDS[COMP_CWORD]}" x;'
                  ' printf "%s\\n" ${COMPREPLY[@]+"${COMPREPLY[@]}"}')
        return [word for word in self.shell("bash", "-c", driver, "bash", self.scripts["bash"], *words) if word]

    def test_verbs(self):
        self.assertLessEqual(set(VERBS), set(self.complete("")))
        self.assertEqual(self.complete("sta"), ["status"])
        self.assertEqual(self.complete("--json", "--socket", "/x", "wai"), ["wait"])

    def test_options(self):
        self.assertEqual(self.complete("wait", "--ti"), ["--timeout"])
        self.assertEqual(self.complete("status", "--ru"), ["--runtime-dir"])
        self.assertNotIn("--timeout", self.complete("status", "--"))
        self.assertNotIn("--models", self.complete("completion", "--"))

    def test_values_of_a_fixed_set(self):
        self.assertEqual(self.complete("completion", ""), ["bash", "fish", "zsh"])
        self.assertEqual(self.complete("import", "--from", "h"), ["hf"])
        self.assertEqual(self.complete("import", "--from", "=", "o"), ["ollama"])
        self.assertEqual(self.complete("plan", "--kv-type-k", "q8"), ["q8_0"])
        self.assertEqual(self.complete("wait", "--timeout", ""), [])

    def test_files_and_folders(self):
        (self.web / "a file.gguf").touch()
        (self.web / "folder").mkdir()
        self.assertEqual(self.complete("inspect", ""), sorted(["a file.gguf", "folder"]))
        self.assertEqual(self.complete("import", "a"), ["a file.gguf"])
        self.assertEqual(self.complete("--config", "a"), ["a file.gguf"])
        self.assertEqual(self.complete("--store", ""), ["folder"])

    def test_models_of_the_configuration_where_no_daemon_is(self):
        self.assertEqual(self.complete("--config", self.config, "load", ""), ["alpha", "beta"])
        self.assertEqual(self.complete("--config", self.config, "load", "b"), ["beta"])
        self.assertEqual(self.complete("--config", self.config, "load", "alpha", ""), [], "there is one MODEL only")
        self.assertEqual(self.complete("load", ""), [], "neither says a thing, and nothing is said about it")

    def test_models_of_the_daemon(self):
        file = self.model()
        daemon, _, outcome = self.bring_up(self.config_for(file.path, file))
        self.assert_ready(outcome, daemon)
        for words in (["load", ""], ["--runtime-dir", self.runtime_dir, "status", "t"], ["watch", "--socket", daemon.admin_socket, ""]):
            self.assertEqual(self.complete(*words), ["tiny"])
        self.stop(daemon)

    def test_a_daemon_that_does_not_answer_is_not_waited_for(self):
        self.runtime_dir.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.runtime_dir / "admin.sock"))
            listener.listen()
            self.assertEqual(self.complete("--config", self.config, "load", ""), ["alpha", "beta"])


class Zsh(CompletionTest):
    def test_it_completes(self):
        self.need("zsh")
        self.shell("zsh", "-n", self.scripts["zsh"])
        path = f"{ggufd.bin_dir()}:/usr/bin:/bin"
        shell = OnTerminal("zsh", "-f", "-i", folder=self.folder, columns=200, PATH=path, TERM="dumb", GGUFD_RUNTIME_DIR=self.runtime_dir)
        self.addCleanup(shell.close)
        shell.type(f"PS1='> '; autoload -U compinit; compinit -u -D; source {self.scripts['zsh']}; print is''there\n")
        shell.read_until("isthere")
        shell.read_until("\x1b[?2004h")  # the line editor has begun: it asks for bracketed paste
        for line, rest in (("ggufctl sta", "tus "), ("ggufctl wait --ti", "meout"), ("ggufctl completion fi", "sh "),
                           ("ggufctl import --from oll", "ama "), ("ggufctl --json plan --kv-type-k q8", "_0 "),
                           (f"ggufctl --config {self.config} load be", "ta ")):
            with self.subTest(line=line):
                shell.type(line)
                shell.read_until(line[-3:])
                shell.type("\t")
                shell.read_until(rest)
                shell.type("\x15")  # Ctrl-U: an empty line again
        shell.type("exit\n")
        shell.wait()

    def test_it_has_every_verb(self):
        script = self.scripts["zsh"].read_text()
        self.assertTrue(script.startswith("#compdef ggufctl\n"))
        for verb in VERBS:
            self.assertIn(f"\n    {verb})\n", script)


class Fish(CompletionTest):
    def complete(self, line):
        offers = self.shell("fish", "--no-config", "-c", f"source {self.scripts['fish']}; complete -C '{line}'")
        return [offer.split("\t")[0] for offer in offers]

    def test_it_completes(self):
        self.need("fish")
        self.assertEqual(self.complete("ggufctl sta"), ["status"])
        self.assertEqual(self.complete("ggufctl wait --ti"), ["--timeout"])
        self.assertEqual(self.complete("ggufctl completion "), ["bash", "fish", "zsh"])
        self.assertEqual(self.complete(f"ggufctl --config {self.config} load "), ["alpha", "beta"])

    def test_it_has_every_verb(self):
        script = self.scripts["fish"].read_text()
        for verb in VERBS:
            self.assertIn(f"-n __ggufctl_needs_verb -a {verb} -d", script)


if __name__ == "__main__":
    unittest.main()
