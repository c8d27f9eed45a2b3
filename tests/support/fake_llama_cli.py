"""The command line of fake_llama_server.py: which flags each kind of build knows, and what --help prints of them.

Names and format are those of llama.cpp's common/arg.cpp, of February 2025 ("old") and July 2026 ("new")."""

OLD, NEW, BOTH, LOAD_MODE = "old", "new", "both", "load_mode"
# (which builds, section, names, their negations, value, help, environment)
FLAGS = [
    (BOTH, "common", "-h --help --usage", "", "", "print usage and exit", ""),
    (BOTH, "common", "--version", "", "", "show version and build info", ""),
    (BOTH, "common", "-t --threads", "", "N", "number of threads to use during generation (default: -1)", "THREADS"),
    (BOTH, "common", "-tb --threads-batch", "", "N", "number of threads to use during batch and prompt processing", ""),
    (BOTH, "common", "-c --ctx-size", "", "N", "size of the prompt context (default: 4096, 0 = loaded from model)", "CTX_SIZE"),
    (BOTH, "common", "-b --batch-size", "", "N", "logical maximum batch size (default: 2048)", "BATCH"),
    (BOTH, "common", "-ub --ubatch-size", "", "N", "physical maximum batch size (default: 512)", "UBATCH"),
    (NEW, "common", "--swa-full", "", "", "use full-size SWA cache (default: false)", "SWA_FULL"),
    (OLD, "common", "-fa --flash-attn", "", "", "enable Flash Attention (default: disabled)", "FLASH_ATTN"),
    (NEW, "common", "-fa --flash-attn", "", "[on|off|auto]", "set Flash Attention use (default: 'auto')", "FLASH_ATTN"),
    (BOTH, "common", "-ctk --cache-type-k", "", "TYPE", "KV cache data type for K\nallowed values: f32, f16, bf16, q8_0,"
     " q4_0, q4_1, iq4_nl, q5_0, q5_1\n(default: f16)", "CACHE_TYPE_K"),
    (BOTH, "common", "-ctv --cache-type-v", "", "TYPE", "KV cache data type for V\nallowed values: f32, f16, bf16, q8_0,"
     " q4_0, q4_1, iq4_nl, q5_0, q5_1\n(default: f16)", "CACHE_TYPE_V"),
    (OLD, "common", "-np --parallel", "", "N", "number of parallel sequences to decode (default: 1)", "N_PARALLEL"),
    (BOTH, "common", "--mlock", "", "", "force system to keep model in RAM rather than swapping or compressing", "MLOCK"),
    (OLD, "common", "--no-mmap", "", "", "do not memory-map model (slower load but may reduce pageouts if not using mlock)",
     "NO_MMAP"),
    (NEW, "common", "--mmap", "--no-mmap", "", "whether to memory-map model (default: enabled)", "MMAP"),
    (NEW, "common", "-dio --direct-io", "-ndio --no-direct-io", "", "use DirectIO if available (default: disabled)", "DIO"),
    (LOAD_MODE, "common", "-lm --load-mode", "", "MODE", "how to load the model: auto, none, mmap, mlock, mmap+mlock, dio",
     "LOAD_MODE"),
    (OLD, "common", "-ngl --gpu-layers --n-gpu-layers", "", "N", "number of layers to store in VRAM", "N_GPU_LAYERS"),
    (NEW, "common", "-ngl --gpu-layers --n-gpu-layers", "", "N", "max. number of layers to store in VRAM, either an exact"
     " number, 'auto', or 'all' (default: auto)", "N_GPU_LAYERS"),
    (NEW, "common", "-fit --fit", "", "[on|off]", "whether to adjust unset arguments to fit in device memory", "FIT"),
    (BOTH, "common", "-m --model", "", "FNAME", "model path to load", "MODEL"),
    (BOTH, "common", "--log-disable", "", "", "Log disable", ""),
    (OLD, "common", "--log-colors", "", "", "Enable colored logging", ""),
    (NEW, "common", "--log-colors", "", "[on|off|auto]", "Set colored logging (default: 'auto')", "LOG_COLORS"),
    (BOTH, "common", "-v --verbose --log-verbose", "", "", "Set verbosity level to infinity", ""),
    (OLD, "common", "-lv --verbosity --log-verbosity", "", "N", "Set the verbosity threshold. Messages with a higher"
     " verbosity will be ignored.", "LOG_VERBOSITY"),
    (NEW, "common", "-lv --verbosity --log-verbosity", "", "N", "Set the verbosity threshold. Messages with a higher"
     " verbosity will be ignored. Values:\n - 0: generic output\n - 1: error\n - 2: warning\n - 3: info\n"
     " - 4: trace (more info)\n - 5: debug\n(default: 3)\n", "LOG_VERBOSITY"),
    (OLD, "common", "--log-prefix", "", "", "Enable prefix in log messages", ""),
    (NEW, "common", "--log-prefix", "--no-log-prefix", "", "Enable prefix in log messages", "LOG_PREFIX"),
    (OLD, "common", "--log-timestamps", "", "", "Enable timestamps in log messages", ""),
    (NEW, "common", "--log-timestamps", "--no-log-timestamps", "", "Enable timestamps in log messages", "LOG_TIMESTAMPS"),
    (BOTH, "sampling", "-s --seed", "", "SEED", "RNG seed (default: -1, use random seed for -1)", ""),
    (BOTH, "sampling", "--temp", "", "N", "temperature (default: 0.8)", ""),
    (OLD, "example-specific", "--no-warmup", "", "", "skip warming up the model with an empty run", ""),
    (NEW, "example-specific", "-cram --cache-ram", "", "N", "set the maximum cache size in MiB (default: 8192, -1 - no limit,"
     " 0 - disable)", "CACHE_RAM"),
    (NEW, "example-specific", "-kvu --kv-unified", "-no-kvu --no-kv-unified", "", "use single unified KV buffer shared across"
     " all sequences (default: enabled if number of slots is auto)", "KV_UNIFIED"),
    (NEW, "example-specific", "--warmup", "--no-warmup", "", "whether to perform warmup with an empty run", ""),
    (NEW, "example-specific", "-np --parallel", "", "N", "number of server slots (default: -1, -1 = auto)", "N_PARALLEL"),
    (BOTH, "example-specific", "-a --alias", "", "STRING", "set alias for model name (to be used by REST API)", "ALIAS"),
    (BOTH, "example-specific", "--host", "", "HOST", None, "HOST"),
    (BOTH, "example-specific", "--port", "", "PORT", "port to listen (default: 8080)", "PORT"),
    (OLD, "example-specific", "--no-webui", "", "", "Disable the Web UI (default: enabled)", "NO_WEBUI"),
    (NEW, "example-specific", "--ui --webui", "--no-ui --no-webui", "", "whether to enable the Web UI (default: enabled)", "UI"),
    (BOTH, "example-specific", "--embedding --embeddings", "", "", "restrict to only support embedding use case", "EMBEDDINGS"),
    (BOTH, "example-specific", "--reranking --rerank", "", "", "enable reranking endpoint on server", "RERANKING"),
    (BOTH, "example-specific", "--api-key", "", "KEY", "API key to use for authentication (default: none)", "API_KEY"),
    (BOTH, "example-specific", "--api-key-file", "", "FNAME", "path to file containing API keys (default: none)", ""),
    (BOTH, "example-specific", "-to --timeout", "", "N", "server read/write timeout in seconds (default: 600)", "TIMEOUT"),
    (BOTH, "example-specific", "--threads-http", "", "N", "number of threads used to process HTTP requests", ""),
    (BOTH, "example-specific", "--metrics", "", "", "enable prometheus compatible metrics endpoint", "ENDPOINT_METRICS"),
    (OLD, "example-specific", "--slots", "", "", "enable slots monitoring endpoint (default: disabled)", "ENDPOINT_SLOTS"),
    (NEW, "example-specific", "--slots", "--no-slots", "", "expose slots monitoring endpoint (default: enabled)",
     "ENDPOINT_SLOTS"),
    (BOTH, "example-specific", "--props", "", "", "enable changing global properties via POST /props", "ENDPOINT_PROPS"),
    (OLD, "example-specific", "--no-slots", "", "", "disables slots monitoring endpoint", "NO_ENDPOINT_SLOTS"),
    (BOTH, "example-specific", "--jinja", "", "", "use jinja template for chat", "JINJA"),
]
HELP_COLUMN, HELP_WIDTH = 40, 70


def flags_of(kinds):
    """The flags of a build of these kinds: OLD or NEW, and LOAD_MODE where it has that."""
    return [flag for flag in FLAGS if flag[0] == BOTH or flag[0] in kinds]


def wrapped(text):
    for line in text.split("\n"):
        current = ""
        for word in line.split(" ") if len(line) > HELP_WIDTH else [line]:
            if current and len(current) + 1 + len(word) > HELP_WIDTH:
                yield current
                current = ""
            current += (" " if current else "") + word
        yield current


def help_entry(names, negations, value, text, variable):
    names = names.split() + negations.split()
    head = names[0] if len(names) == 1 else (names[0] + ", ").ljust(7) + ", ".join(names[1:])
    head += f" {value}" if value else ""
    text += f"\n(env: LLAMA_ARG_{variable})" if variable else ""
    lines = list(wrapped(text))
    head = head + "\n" + " " * HELP_COLUMN if len(head) > HELP_COLUMN - 3 else head.ljust(HELP_COLUMN)
    return head + ("\n" + " " * HELP_COLUMN).join(lines) + "\n"


def help_text(kinds, has_unix):
    host = "ip address to listen"
    host += ", or bind to an UNIX socket if the address ends with .sock" if has_unix else ""
    sections = {"common": [], "sampling": [], "example-specific": []}
    for _, section, names, negations, value, text, variable in flags_of(kinds):
        text = f"{host} (default: 127.0.0.1)" if text is None else text
        sections[section].append(help_entry(names, negations, value, text, variable))
    return "\n\n".join(f"----- {name} params -----\n\n" + "".join(entries) for name, entries in sections.items())


class UsageError(Exception):
    """With what the server prints of it."""


class Arguments:
    def __init__(self, kinds, given):
        self.values = {}
        known = {}
        for _, _, names, negations, value, _, _ in flags_of(kinds):
            long_name = [name for name in names.split() if name.startswith("--")][0]
            for name in names.split():
                known[name] = (long_name, bool(value), True)
            for name in negations.split():
                known[name] = (long_name, False, False)
        rest = iter(given)
        for argument in rest:
            name = argument.replace("_", "-") if argument.startswith("--") else argument
            if name not in known:
                raise UsageError(f"error: invalid argument: {argument}\n")
            long_name, takes_value, is_on = known[name]
            value = next(rest, None) if takes_value else is_on
            if value is None:
                raise UsageError(f"error: expected value for argument\n\nusage:\n{argument}\n")
            self.values[long_name] = value

    def get(self, name, default):
        return self.values.get(name, default)

    def number(self, name, default):
        text = self.values.get(name, default)
        try:
            return int(text)
        except ValueError:
            if name == "--gpu-layers" and text in ("auto", "all"):
                return 99
            raise UsageError(f'error while handling argument "{name}": stoi\n\n') from None

    def is_on(self, feature):
        """Whether --feature, on where nobody says otherwise, has not been switched off."""
        return self.values.get(f"--{feature}", True) and not self.values.get(f"--no-{feature}", False)
