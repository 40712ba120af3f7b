"""GGUF, the files of ggml, stable-diffusion.cpp and llama.cpp, versions 2 and 3.

    "GGUF"      version (4 bytes), number of tensors, number of notes (8 bytes each)
    notes       key, type (4 bytes), value; text is a length (8 bytes) and UTF-8
    tensors     name, number of axes (4), sizes (8 each), type (4), offset (8)
    the rest    the values, from the next multiple of general.alignment on; offsets count from here

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The fastest axis comes first
there and last in NumPy, so shapes are reversed.
"""

import math
import struct
from functools import partial
from pathlib import Path

import numpy as np

from refdiff.op import Array
from refdiff.strict_json import show
from refdiff.verify.dumps.blocks import BLOCKS, VALUES
from refdiff.verify.dumps.dump import BFLOAT16, Buffer, Dump, Entry, check_shape, map_file

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_AXES = 4
DEEPEST = 4  # arrays in arrays; no writer nests them
LONGEST_NOTE = 65_535  # bytes; longer ones (vocabularies) are left out
ALIGNMENT = "general.alignment"

SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
PLAIN = {0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64"} | {
    28: "float64",
    30: BFLOAT16,
}
QUANTISED = {2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0"}
WIDTHS = {"float32": 4, "float16": 2, BFLOAT16: 2, "int8": 1, "int16": 2, "int32": 4} | {
    "int64": 8,
    "float64": 8,
}


class _Reader:
    """A place in the file that moves on; whatever would lead beyond its end is an error."""

    def __init__(self, file: Buffer) -> None:
        self.file = file
        self.at = len(MAGIC)

    def take(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + size
        if self.at > len(self.file):
            raise self.file.error(f"has {len(self.file)} bytes and needs {size} at byte {begin}")
        return bytes(self.file.data[begin : self.at])

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0])

    def text(self) -> str:
        begin = self.at
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError as error:
            raise self.file.error(f"has no UTF-8 at byte {begin}") from error

    def note(self, kind: int, depth: int = 0) -> str:
        """A value as text; an array is passed over and gives ""."""
        if kind == TEXT:
            return self.text()
        if kind in SCALARS:
            size = struct.calcsize(SCALARS[kind])
            return str(struct.unpack("<" + SCALARS[kind], self.take(size))[0])
        if kind != ARRAY or depth == DEEPEST:
            raise self.file.error(f"has a note of type {kind} at byte {self.at}")
        item, count = self.number("I"), self.number("Q")
        if item in SCALARS:
            self.take_over(count * struct.calcsize(SCALARS[item]))
        else:
            for _ in range(count):
                self.note(item, depth + 1)
        return ""

    def take_over(self, size: int) -> None:
        self.take(0 if self.at + size <= len(self.file) else size)
        self.at += size


def open_gguf(path: Path) -> Dump:
    """A GGUF file's tensors, quantised ones as float32; its single values and texts are notes.

    Raises CheckpointError for other versions and types, and where lengths do not fit the file.
    """
    file = map_file(path)
    reader = _Reader(file)
    version, tensors, count = (reader.number(kind) for kind in "IQQ")
    if version not in VERSIONS:
        raise file.error(f"is GGUF of version {version}, and 2 or 3, little-endian, is read")
    notes: dict[str, str] = {}
    for _ in range(count):
        key = reader.text()
        value = reader.note(reader.number("I"))
        if value and len(value) <= LONGEST_NOTE:
            notes[key] = value
    infos = [_info(reader) for _ in range(tensors)]
    alignment = notes.get(ALIGNMENT, "32")
    if not alignment.isdecimal() or not 0 < int(alignment) < 2**32:
        raise file.error(f"has the {ALIGNMENT} {show(alignment)}, and a whole number > 0 is due")
    start = -(-reader.at // int(alignment)) * int(alignment)
    entries: dict[str, Entry] = {}
    for name, kind, shape, offset in infos:
        if name in entries:
            raise file.error(f"holds tensor {show(name)} twice")
        place = start + offset
        _check(file, name, kind, shape, place)
        entries[name] = Entry(shape, partial(_read, file, kind, shape, place))
    return Dump(path, entries, notes)


def _info(reader: _Reader) -> tuple[str, int, tuple[int, ...], int]:
    name, axes = reader.text(), reader.number("I")
    if axes > MOST_AXES:
        raise reader.file.error(f"has tensor {show(name)} with {axes} axes, more than {MOST_AXES}")
    shape = tuple(reader.number("Q") for _ in range(axes))[::-1]
    return name, reader.number("I"), shape, reader.number("Q")


def _check(file: Buffer, name: str, kind: int, shape: tuple[int, ...], begin: int) -> None:
    part = Buffer(file.path, file.data, f"tensor {show(name)}")
    check_shape(shape, 8, part.error)
    if kind in QUANTISED:
        if not shape or shape[-1] % VALUES:
            raise part.error(f"has the shape {list(shape)}, and the last axis holds blocks of 32")
        size = math.prod(shape) // VALUES * BLOCKS[QUANTISED[kind]][0]
    elif kind in PLAIN:
        size = math.prod(shape) * WIDTHS[PLAIN[kind]]
    else:
        known = ", ".join([*PLAIN.values(), *BLOCKS])
        raise part.error(f"has ggml's type number {kind}, and what is read is {known}")
    if begin + size > len(file):
        raise part.error(f"takes {size} bytes at byte {begin}, and the file has {len(file)}")


def _read(file: Buffer, kind: int, shape: tuple[int, ...], begin: int) -> Array:
    if kind in PLAIN:
        return file.array(PLAIN[kind], shape, begin)
    size, values = BLOCKS[QUANTISED[kind]]
    blocks = file.array("uint8", (math.prod(shape) // VALUES, size), begin)
    with np.errstate(invalid="ignore"):  # a scale that is no number makes values that are none
        return values(blocks).reshape(shape)
