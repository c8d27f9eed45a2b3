"""What fake_llama_server.py reads of a GGUF, and what llama.cpp says of a file that is none."""
import os
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
BYTES_PER_32 = {"f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q4_0": 18, "q4_1": 20, "iq4_nl": 18, "q5_0": 22, "q5_1": 24}


class ModelError(Exception):
    pass


class Reader:
    def __init__(self, file):
        self.file = file

    def take(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise ModelError("gguf_init_from_file_ptr: failed to read key-value pairs")
        return data

    def number(self, kind):
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def string(self):
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            kind, count = self.number("I"), self.number("Q")
            if kind in SCALARS:
                self.file.seek(count * struct.calcsize("<" + SCALARS[kind]), 1)
                return f"[{count}]"
            for _ in range(count):
                self.value(kind)
            return f"[{count}]"
        if kind not in SCALARS:
            raise ModelError(f"gguf_init_from_file_ptr: key has invalid GGUF type {kind}")
        return self.number(SCALARS[kind])


class Model:
    """What the log and /props need of a GGUF: its metadata. Raises ModelError, with the library's words."""

    def __init__(self, path):
        self.path = path
        self.keys = {}
        try:
            with open(path, "rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                self.read(Reader(file))
        except OSError:
            raise ModelError(f"gguf_init_from_file: failed to open GGUF file '{path}'") from None
        self.architecture = str(self.keys.get("general.architecture", "llama"))

    def read(self, reader):
        magic = reader.file.read(4)
        if len(magic) < 4:
            raise ModelError("gguf_init_from_file_ptr: failed to read magic")
        if magic != b"GGUF":
            shown = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in magic)
            raise ModelError(f"gguf_init_from_file_ptr: invalid magic characters: '{shown}', expected 'GGUF'")
        self.version = reader.number("I")
        if self.version not in (2, 3):
            raise ModelError("gguf_init_from_file_ptr: this GGUF file is version "
                             f"{self.version} but this software only supports up to version 3")
        self.tensors, count = reader.number("Q"), reader.number("Q")
        for _ in range(count):
            key = reader.string()
            self.keys[key] = reader.value(reader.number("I"))

    def of_architecture(self, key, default):
        value = self.keys.get(f"{self.architecture}.{key}", default)
        return value if isinstance(value, int) else default

    def layers(self):
        return self.of_architecture("block_count", 1)

    def kv_bytes(self, cells, kv_type, which):
        heads = self.of_architecture("attention.head_count", 1)
        kv_heads = self.of_architecture("attention.head_count_kv", heads)
        width = self.of_architecture(f"attention.{which}_length", self.of_architecture("embedding_length", 64) // max(heads, 1))
        return cells * self.layers() * kv_heads * width * BYTES_PER_32.get(kv_type, 64) // 32
