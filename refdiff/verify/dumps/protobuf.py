"""The wire format of protocol buffers: a message is a row of numbered fields.

    varint      seven bits a byte, the lowest first; the top bit says that another byte follows
    field       varint (number << 3 | kind), then the value: kind 0 a varint, 1 eight bytes,
                5 four bytes, 2 a varint length and as many bytes (text, a message, packed values)

Source: https://protobuf.dev/programming-guides/encoding. Messages inside are left as bytes, so
no depth of nesting is ever followed.
"""

from collections import defaultdict

import numpy as np

from refdiff.op import Array

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
LONGEST = 10  # bytes of a varint of 64 bits


def fields(data: bytes | memoryview) -> dict[tuple[int, int], list[memoryview]]:
    """(number, kind) -> the values' bytes, in order; a repeated field has several.

    A varint is left encoded, since it is read the same way alone or packed.
    Raises ValueError with a clause that fits behind "the file ...".
    """
    view = memoryview(data)
    found: dict[tuple[int, int], list[memoryview]] = defaultdict(list)
    at = 0
    while at < len(view):
        begin = at
        key, at = _varint(view, at)
        kind = key & 7
        if kind == VARINT:
            start, (_, stop) = at, _varint(view, at)
        elif kind == BYTES:
            length, start = _varint(view, at)
            stop = start + length
        elif kind in (EIGHT, FOUR):
            start, stop = at, at + (8 if kind == EIGHT else 4)
        else:
            raise ValueError(f"has a field of kind {kind} at byte {begin}, not 0, 1, 2 or 5")
        if stop > len(view):
            raise ValueError(f"ends inside the field at byte {begin}")
        found[key >> 3, kind].append(view[start:stop])
        at = stop
    return found


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number at byte `at`, and the byte behind it."""
    value = 0
    for place, byte in enumerate(view[at : at + LONGEST]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(f"has an unfinished number at byte {at}")


def varints(data: bytes) -> Array:
    """All numbers of a row of varints, as int64: data [bytes] -> [*]. Raises ValueError."""
    row = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(row < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(row) and (row[-1] >= 0x80 or lengths.max() > LONGEST):
        raise ValueError("has an unfinished number in a packed field")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = lengths > place
        bits = row[starts[longer] + place].astype(np.uint64) & np.uint64(0x7F)
        values[longer] |= bits << np.uint64(7 * place)
    return values.view(np.int64)
