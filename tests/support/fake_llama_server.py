#!/usr/bin/env -S python3 -S -E -B
"""A llama-server as far as a supervisor can see: its command line, log, HTTP interface, exits. Loads no weights.

It follows llama.cpp's server of July 2026, and that of February 2025 with the mood `old`. Which moods it is in is said
by GGML_FAKE_MOOD, a comma-separated list (the name passes a supervisor's list of variables for ggml):

  old                 build 4753: no Unix sockets, the log without time stamps, no flags that came later
  load_mode           a build with --load-mode
  no_unix             Unix sockets only are missing
  exit_at_start[=N]   ends with N (1) before it opens anything; above 128: by the signal N-128
  slow_load=S         the load takes S seconds (0)
  hang_at_load        the load never ends, and /health keeps saying so
  crash_at_load=N     ends so in the middle of the load
  bad_model           refuses every model, as one of an unknown architecture
  cuda_oom            the load fails for the graphics card's memory, exit 1
  host_oom            the same for ours
  chatty=BYTES        so much log before the load
  silent              no log at all
  crash_after=S[:N]   once ready, ends after S seconds with N (139)
  flap=N              the first N starts of a diary are crash_after=0.05 (every start without a diary)
  hang_after=S        answers nothing from S seconds after ready; connections are still taken
  bad_health[=KIND]   /health, once ready, is: garbage (default), empty, 500, not_ok, huge, slow, cut
  never_ready         /health stays at 503 though it is loaded
  fail_warm_up        completions and embeddings are answered by 500
  busy=S              completions take S seconds, their slots are busy meanwhile
  ignore_sigterm      from the start to the end
  slow_term=S         ends S seconds after SIGTERM
  term_exit=N         ends with N after SIGTERM (0), as builds do that fail on their way out
  grandchild          starts a process that sleeps in its group, and one in a group of its own
  embedding, vision, audio, tools, thinking, no_slots, cuda    what /props and the log say of it
  slow_help=S, no_help, bad_version                            for those who probe it

GGML_FAKE_DIARY names a file that gets one JSON line for each start and each signal taken.
"""
import os
import signal
import sys
import threading
import time

from fake_llama_cli import Arguments, UsageError, help_text
from fake_llama_http import Server
from fake_llama_model import Model, ModelError
from fake_llama_moods import (BUILD, ERROR, HAS_UNIX, INFO, IS_OLD, KINDS, LIMITS, MIB, MOOD, TRACE, end, log, log_server,
                              note_start, say_of_main, seconds, starts_so_far, to_router, version_text, write_diary,
                              write_error)

# -- the load ---------------------------------------------------------------------------------------------------------


class Loading:
    """What the log says of a model that is loaded, and what can go wrong on the way."""

    def __init__(self, server):
        self.server = server
        self.model = None

    def run(self):
        path = self.server.arguments.get("--model", "models/7B/ggml-model-f16.gguf")
        if IS_OLD:
            log("main: loading model")
        log_server("load_model", f"loading model '{path if IS_OLD else os.path.basename(path)}'")
        to_router("loading", stages=["text_model"], current="text_model", value=0.0)
        try:
            self.server.model = self.model = Model(path)
            self.load_tensors()
        except ModelError as problem:
            log(str(problem), ERROR)
            if not str(problem).startswith(("llama_model_load:", "common_init")):
                log("llama_model_load: error loading model: llama_model_loader: failed to load model from " + path, ERROR)
            log("llama_model_load_from_file_impl: failed to load model", ERROR)
            log(f"common_init_from_params: failed to load model '{path}'", ERROR)
            log_server("load_model", f"failed to load model, '{path}'", ERROR)
            log_server("operator()", "operator(): cleaning up before exit...")
            say_of_main("exiting due to model loading error", ERROR)
            end(1)

    def load_tensors(self):
        model = self.model
        library = INFO if IS_OLD else TRACE
        direct = "" if IS_OLD else ", direct_io = false"
        uses_mmap = self.server.arguments.is_on("mmap") and self.server.arguments.get("--load-mode", "mmap") in ("auto", "mmap", "mmap+mlock")
        log(f"llama_model_loader: loaded meta data with {len(model.keys)} key-value pairs and {model.tensors} tensors from "
            f"{model.path} (version GGUF V{model.version} (latest))", library)
        if "bad_model" in MOOD:
            raise ModelError("llama_model_load: error loading model: error loading model architecture: unknown model "
                             f"architecture: '{model.architecture}'")
        log(f"print_info: arch             = {model.architecture}", library)
        log("load_tensors: loading model tensors, this can take a while... "
            f"(mmap = {'true' if uses_mmap else 'false'}{direct})", library)
        layers = model.layers() + 1
        offloaded = min(self.server.arguments.number("--gpu-layers", 0), layers) if "cuda" in MOOD or "cuda_oom" in MOOD else 0
        if "cuda_oom" in MOOD:
            log(f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {model.size / MIB:.2f} MiB on device 0: cudaMalloc "
                "failed: out of memory", ERROR)
            log(f"alloc_tensor_range: failed to allocate CUDA0 buffer of size {model.size}", ERROR)
            raise ModelError("llama_model_load: error loading model: unable to allocate CUDA0 buffer")
        if "host_oom" in MOOD:
            log(f"ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size {model.size}", ERROR)
            raise ModelError("llama_model_load: error loading model: unable to allocate CPU buffer")
        if "cuda" in MOOD:
            finder = "llama_model_load_from_file_impl" if IS_OLD else "llama_prepare_model_devices"
            log(f"{finder}: using device CUDA0 (NVIDIA L4) {'' if IS_OLD else '(0000:00:04.0) '}- 22300 MiB free", library)
            log(f"load_tensors: offloaded {offloaded}/{layers} layers to GPU", library)
            log(f"load_tensors:        CUDA0 model buffer size = {model.size * offloaded / layers / MIB:8.2f} MiB", library)
        kind = "CPU_Mapped" if uses_mmap else "CPU"
        log(f"load_tensors: {kind:>12} model buffer size = {model.size * (layers - offloaded) / layers / MIB:8.2f} MiB", library)
        self.dots()
        self.make_context(library)

    def dots(self):
        steps = 100
        shows = IS_OLD  # newer builds print no dots
        for step in range(steps):
            if step == steps // 2 and "crash_at_load" in MOOD:
                end(int(MOOD["crash_at_load"] or 139))
            if step == steps // 2 and "hang_at_load" in MOOD:
                while True:
                    signal.pause()
            time.sleep(seconds("slow_load") / steps)
            if shows:
                write_error(".")
            if step % 20 == 0:
                to_router("loading", stages=["text_model"], current="text_model", value=step / steps)
        if shows:
            write_error("\n")

    def make_context(self, library):
        model = self.model
        types = [self.server.arguments.get(f"--cache-type-{which}", "f16") for which in "kv"]
        sizes = [model.kv_bytes(self.server.context, kind, which) for which, kind in zip(("key", "value"), types)]
        context = "llama_init_from_model" if IS_OLD else "llama_context"
        log(f"{context}: n_ctx         = {self.server.context}", library)
        cache = "llama_kv_cache_init" if IS_OLD else "llama_kv_cache"
        log(f"{cache}: {'CPU':>10} KV buffer size = {sum(sizes) / MIB:8.2f} MiB", library)
        log(f"{cache}: size = {sum(sizes) / MIB:7.2f} MiB ({self.server.context:6} cells, {model.layers():3} layers, "
            f"{len(self.server.slots):2} seqs), K ({types[0]}): {sizes[0] / MIB:7.2f} MiB, V ({types[1]}): {sizes[1] / MIB:7.2f} MiB",
            library)
        if self.server.arguments.is_on("warmup"):
            log("common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable)",
                library)


# -- its life ---------------------------------------------------------------------------------------------------------


def obey_signals(wake):
    """As the real one: only from here on; a second signal ends it at once."""
    count = 0

    def take(number, _):
        nonlocal count
        count += 1
        write_diary(event="signal", signal=number)
        if count > 1:
            write_error("Received second interrupt, terminating immediately.\n")
            end(1)
        wake.set()

    signal.signal(signal.SIGINT, take)
    if "ignore_sigterm" not in MOOD:
        signal.signal(signal.SIGTERM, take)


def watch_stdin():
    """A child of a router ends with it."""
    while sys.stdin.buffer.readline():
        pass
    log_server("operator()", "EOF on stdin detected, forcing shutdown...")
    end(1)


def start_grandchildren():
    for leaves_group in (False, True):
        if os.fork() == 0:
            if leaves_group:
                os.setpgid(0, 0)
            while True:
                signal.pause()


def later(delay_s, function):
    timer = threading.Timer(delay_s, function)
    timer.daemon = True
    timer.start()


def plan_what_goes_wrong(server, earlier_starts):
    if "crash_after" in MOOD:
        delay, _, code = MOOD["crash_after"].partition(":")
        later(float(delay or 0), lambda: end(int(code or 139)))
    if "flap" in MOOD and earlier_starts < int(MOOD["flap"] or 3):
        later(0.05, lambda: end(139))
    if "hang_after" in MOOD:
        later(seconds("hang_after"), server.hangs.set)


def print_and_exit(given):
    if "--version" in given:
        time.sleep(seconds("slow_help"))
        os.write(2, version_text().encode())
        end(0)
    if {"-h", "--help", "--usage"} & set(given):
        time.sleep(seconds("slow_help"))
        if "no_help" in MOOD:
            end(1)
        sys.stdout.write(help_text(KINDS, HAS_UNIX))
        end(0)


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    given = sys.argv[1:]
    print_and_exit(given)
    earlier_starts = starts_so_far()
    note_start()
    if "ignore_sigterm" in MOOD:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "exit_at_start" in MOOD:
        write_error("main: something is missing\n")
        end(int(MOOD["exit_at_start"] or 1))
    try:
        arguments = Arguments(KINDS, given)
        run(arguments, earlier_starts)
    except UsageError as problem:
        write_error(str(problem))
        end(1)


def run(arguments, earlier_starts):
    LIMITS["verbosity"] = 99 if arguments.get("--verbose", False) else arguments.number("--verbosity", INFO)
    if "grandchild" in MOOD:
        start_grandchildren()
    log(f"build: {BUILD[0]} ({BUILD[1]}) with GNU 12.2.0 for Linux x86_64")
    log("system_info: n_threads = 2 (n_threads_batch = 2) / 2 | CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 |")
    server = Server(arguments)
    server.listen()
    for _ in range(int(MOOD.get("chatty") or 0) // 1000):
        write_error("llama_model_loader: - kv " + "x" * 974 + "\n")
    Loading(server).run()
    wake = threading.Event()
    obey_signals(wake)
    server.become_ready()
    plan_what_goes_wrong(server, earlier_starts)
    if not IS_OLD and "LLAMA_SERVER_ROUTER_PORT" in os.environ:
        threading.Thread(target=watch_stdin, daemon=True).start()
    wake.wait()
    log_server("operator()", "operator(): cleaning up before exit...")
    time.sleep(seconds("slow_term"))
    end(int(MOOD.get("term_exit") or 0))


if __name__ == "__main__":
    main()
