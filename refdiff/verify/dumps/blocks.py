"""ggml's quantised blocks: 32 values share a scale (and a smallest value), all in float16.

    q4_0   d (q - 8)         d, 16 bytes; a byte holds q of value i below, of i + 16 above
    q4_1   d q + m           d, m, 16 bytes
    q5_0   d (q - 16)        d, the fifth bits as one 32-bit number, 16 bytes
    q5_1   d q + m           d, m, fifth bits, 16 bytes
    q8_0   d q               d, 32 signed bytes

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and src/ggml-common.h.
"""

from collections.abc import Callable

import numpy as np

from refdiff.op import Array

VALUES = 32  # of one block


def _halves(blocks: Array) -> Array:
    return np.ascontiguousarray(blocks).view("<f2").astype(np.float32)


def _nibbles(packed: Array) -> Array:
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _fifths(packed: Array) -> Array:
    """The fifth bit of every value, at its place: packed [B,4] -> [B,32]"""
    return np.unpackbits(packed, axis=1, bitorder="little") << 4


def _q4_0(b: Array) -> Array:
    return _halves(b[:, :2]) * (_nibbles(b[:, 2:]).astype(np.float32) - 8)


def _q4_1(b: Array) -> Array:
    return _halves(b[:, :2]) * _nibbles(b[:, 4:]) + _halves(b[:, 2:4])


def _q5_0(b: Array) -> Array:
    q = _nibbles(b[:, 6:]) | _fifths(b[:, 2:6])
    return _halves(b[:, :2]) * (q.astype(np.float32) - 16)


def _q5_1(b: Array) -> Array:
    q = _nibbles(b[:, 8:]) | _fifths(b[:, 4:8])
    return _halves(b[:, :2]) * q + _halves(b[:, 2:4])


def _q8_0(b: Array) -> Array:
    return _halves(b[:, :2]) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


# Name -> bytes of a block, and its values in float32: blocks [B,bytes] -> [B,32]
BLOCKS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q5_0": (22, _q5_0),
    "Q5_1": (24, _q5_1),
    "Q8_0": (34, _q8_0),
}
