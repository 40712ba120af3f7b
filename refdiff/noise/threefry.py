"""Threefry-2x32-20 (Salmon et al. 2011, §3.3): a key and a counter, 64 bits each, to 64 bits.

A round adds, rotates and mixes, x_0 += x_1, x_1 = (x_1 <<< r) ^ x_0; after every four the key is
added, and the number of such additions so far. The third word of the key is k_0 ^ k_1 ^ C.

JAX counts in two ways to get words from a key:

    partitionable   the counter of value i is (i >> 32, i), so that each value stands for itself.
                    64 bits are both words of the output, 32 and fewer the low bits of their xor.
    original        the numbers 0 .. m - 1, with a 0 appended if m is odd, are cut in two halves,
                    which are the two words of the counters; the halves of the output follow one
                    another. 64 bits take their high word from the first half of all; 8 and 16 bits
                    are the words in little-endian pieces.

Sources: Random123 1.14, threefry.h; JAX 0.10, jax/_src/random/threefry2x32.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError

Key = tuple[int, int]
Words = NDArray[np.uint32]

PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
ONE_BLOCK = 2**32 - 1  # JAX splits the key for more words than this


def threefry(key: Key, x0: Words, x1: Words) -> tuple[Words, Words]:
    """The cipher of each counter: key two words, x0 [n], x1 [n] -> [n], [n]."""
    schedule = (*key, key[0] ^ key[1] ^ PARITY)
    x0, x1 = x0 + np.uint32(key[0]), x1 + np.uint32(key[1])
    for count in range(1, 6):
        for rotation in ROTATIONS[(count - 1) % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation) | x1 >> np.uint32(32 - rotation)) ^ x0
        x0 = x0 + np.uint32(schedule[count % 3])
        x1 = x1 + np.uint32(schedule[(count + 1) % 3] + count & 0xFFFFFFFF)
    return x0, x1


def partitionable_bits(key: Key, count: int, width: int) -> NDArray[np.unsignedinteger[Any]]:
    """Random words of 8, 16, 32 or 64 bits: [count]."""
    high, low = partitionable_pairs(key, count)
    if width == 64:
        return high.astype(np.uint64) << np.uint64(32) | low
    return (high ^ low).astype(f"u{width // 8}")


def partitionable_pairs(key: Key, count: int) -> tuple[Words, Words]:
    """Random pairs of words, which may be keys: [count], [count]."""
    return threefry(key, np.zeros(count, np.uint32), np.arange(count, dtype=np.uint32))


def original_bits(key: Key, count: int, width: int) -> NDArray[np.unsignedinteger[Any]]:
    """Random words of 8, 16, 32 or 64 bits: [count]."""
    words = original_words(key, -(-count * width // 32))
    if width == 64:
        high, low = words.reshape(2, count).astype(np.uint64)
        return high << np.uint64(32) | low
    return words.astype("<u4").view(f"<u{width // 8}")[:count]


def original_words(key: Key, count: int) -> Words:
    """Random words, or ShapeError for so many that JAX splits the key: [count]."""
    if count > ONE_BLOCK:
        raise ShapeError(f"{count} words are more than one key gives; draw less at a time")
    counters = np.arange(count + count % 2, dtype=np.uint32)
    counters[count:] = 0
    return np.concatenate(threefry(key, *counters.reshape(2, -1)))[:count]
