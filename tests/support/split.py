"""Cuts a GGUF into shards, as `<name>-00001-of-0000N.gguf`: the first has all keys, and the tensors are spread over all.

The format is that of ggml's docs/gguf.md, version 3, little endian.
"""

from __future__ import annotations

import dataclasses
import pathlib
import struct

U16, I32, STRING, ARRAY = 2, 5, 8, 9
VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


@dataclasses.dataclass
class Tensor:
    head: bytes  # name, shape and type: its entry but for the offset
    offset: int
    data: bytes = b""


class _Cursor:
    def __init__(self, data, at):
        self.data, self.at = data, at

    def number(self, kind):
        value, = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += struct.calcsize("<" + kind)
        return value

    def skip_string(self):
        length = self.number("Q")
        self.at += length

    def skip_value(self, kind):
        if kind == STRING:
            self.skip_string()
        elif kind == ARRAY:
            element, count = self.number("i"), self.number("Q")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.at += VALUE_BYTES[kind]


def _read(data):
    """(number of keys, the keys as they stand, the tensors)."""
    tensor_count, key_count = struct.unpack_from("<qq", data, 8)
    cursor = _Cursor(data, 24)
    for _ in range(key_count):
        cursor.skip_string()
        cursor.skip_value(cursor.number("i"))
    keys = data[24:cursor.at]
    tensors = []
    for _ in range(tensor_count):
        begin = cursor.at
        cursor.skip_string()
        dimensions = cursor.number("I")
        cursor.at += 8 * dimensions + 4  # and the type
        tensors.append(Tensor(data[begin:cursor.at], cursor.number("Q")))
    start = -(-cursor.at // ALIGNMENT) * ALIGNMENT
    ends = [tensor.offset for tensor in tensors[1:]] + [len(data) - start]
    for tensor, end in zip(tensors, ends):
        tensor.data = data[start + tensor.offset:start + end]
    return key_count, keys, tensors


def _key(name, kind, value, form):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<i" + form, kind, value)


def _shard(key_count, keys, tensors, number, count, tensors_in_all):
    keys += _key("split.no", U16, number, "H") + _key("split.count", U16, count, "H")
    keys += _key("split.tensors.count", I32, tensors_in_all, "i")
    body = b"GGUF" + struct.pack("<Iqq", 3, len(tensors), key_count + 3) + keys
    offset = 0
    for tensor in tensors:
        body += tensor.head + struct.pack("<Q", offset)
        offset += len(tensor.data)
    return body + bytes(-len(body) % ALIGNMENT) + b"".join(tensor.data for tensor in tensors)


def split_model(path, count):
    """Writes the shards of the GGUF at `path` beside it, and returns their paths."""
    path = pathlib.Path(path)
    key_count, keys, tensors = _read(path.read_bytes())
    if len(tensors) < count:
        raise ValueError(f"{path} has {len(tensors)} tensors, too few for {count} shards")
    bounds = [len(tensors) * number // count for number in range(count + 1)]
    written = []
    for number in range(count):
        some = tensors[bounds[number]:bounds[number + 1]]
        head = (key_count, keys) if number == 0 else (0, b"")
        shard = path.with_name(f"{path.stem}-{number + 1:05}-of-{count:05}.gguf")
        shard.write_bytes(_shard(*head, some, number, count, len(tensors)))
        written.append(shard)
    return written
