"""How Go's encoding/json reads a line into typed structs, for machines without Go: the strictest reader that is in wide use.

An integer takes no 1.0, no 1e3, no string and nothing out of its range; a bool takes true and false only, a string strings
only; null leaves any of them as it was. Keys are matched exactly or else whatever their case, unknown ones are passed over,
and of a key that stands twice the last counts. (https://pkg.go.dev/encoding/json#Unmarshal)

FRAME is the struct of reader.go.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re


class Mismatch(ValueError):
    """Unmarshal would have returned an error."""


class _Number(str):
    """A number as it is written."""


class _Object(list):
    """(key, value) in the order of the line."""


class Kind:
    """A Go type: its zero value, and what a JSON value other than null becomes."""

    zero: object = None

    def read(self, value):
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Integer(Kind):
    bits: int = 64
    signed: bool = True
    zero = 0

    def read(self, value):
        if type(value) is not _Number or not re.fullmatch(r"-?\d{1,20}" if self.signed else r"\d{1,20}", value):
            raise Mismatch(f"{value!r} is no integer")
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)
        if not low <= int(value) <= high:
            raise Mismatch(f"{value} does not fit into {self.bits} bits")
        return int(value)


@dataclasses.dataclass(frozen=True)
class Float(Kind):
    zero = 0.0

    def read(self, value):
        if type(value) is not _Number or math.isinf(float(value)):
            raise Mismatch(f"{value!r} is no float64")
        return float(value)


@dataclasses.dataclass(frozen=True)
class Bool(Kind):
    zero = False

    def read(self, value):
        if type(value) is not bool:
            raise Mismatch(f"{value!r} is no bool")
        return value


@dataclasses.dataclass(frozen=True)
class String(Kind):
    zero = ""

    def read(self, value):
        if type(value) is not str:
            raise Mismatch(f"{value!r} is no string")
        return value


@dataclasses.dataclass(frozen=True)
class Pointer(Kind):
    """What may be absent or null: None then."""

    to: Kind

    def read(self, value):
        return self.to.read(value)


@dataclasses.dataclass(frozen=True)
class Slice(Kind):
    of: Kind

    def read(self, value):
        if type(value) is not list:
            raise Mismatch(f"{value!r} is no array")
        return [self.of.zero if item is None else self.of.read(item) for item in value]


@dataclasses.dataclass(frozen=True)
class Struct(Kind):
    fields: dict[str, Kind]

    @property
    def zero(self):
        return {name: kind.zero for name, kind in self.fields.items()}

    def read(self, value):
        if type(value) is not _Object:
            raise Mismatch(f"{value!r} is no object")
        filled = self.zero
        for key, item in value:
            name = key if key in self.fields else next((name for name in self.fields if name.lower() == key.lower()), None)
            if name is None:
                continue
            if item is not None:
                filled[name] = self.fields[name].read(item)
            elif isinstance(self.fields[name], (Pointer, Slice)):
                filled[name] = None
        return filled


def _refuse_constant(name):
    raise Mismatch(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant, object_pairs_hook=_Object)


def unmarshal(line, struct):
    """`line` as a dict of the struct's fields, all of them present."""
    text = line.decode(errors="replace") if isinstance(line, bytes) else line
    try:
        value = _DECODER.decode(text.strip(" \t\r\n"))
    except json.JSONDecodeError as error:
        raise Mismatch(str(error)) from None
    return struct.zero if value is None else struct.read(value)


def _named(kind, names):
    return dict.fromkeys(names.split(), kind)


FRAME = Struct(
    _named(String(), "id type status phase model ts version reason code message infer_socket path source_url integrity kv_type_k "
                     "kv_type_v backend accelerator device_name expected_sha256 actual_sha256 quarantine_path")
    | _named(Integer(), "pid load_ms missed downloaded_bytes bytes_per_second resumed_bytes connections verified_bytes "
                        "resident_bytes bytes allocated_bytes attempt loaded_percent kv_bytes restarts_left wire_version "
                        "gpu_layers n_ctx protocol uptime_s subscribers")
    | _named(Bool(), "v2 vision audio tools thinking embed rerank generate")
    | _named(Pointer(Integer()), "seq warm_up_ms retry_in_ms total_bytes eta_s vram_total_bytes"))
