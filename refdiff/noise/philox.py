"""Philox-4x32-10 (Salmon et al. 2011, §3.3): a key of 64 bits, a counter of 128 to 128 bits.

A round multiplies two of the counter's words into high and low halves, p = M_0 c_0, q = M_1 c_2,

    (c_0, c_1, c_2, c_3) <- (hi(q) ^ c_1 ^ k_0, lo(q), hi(p) ^ c_3 ^ k_1, lo(p)),

and between the rounds k_0 += W_0 and k_1 += W_1.

Source: Random123 1.14, philox.h.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF


def philox(counter: tuple[Words, Words, Words, Words], seed: int) -> list[Words]:
    """Four random words for each counter, whose words come lowest first: 4 of [n] -> 4 of [n].

    `seed` is the key, from 0 to 2^64 - 1.
    """
    c0, c1, c2, c3 = counter
    for count in range(10):
        k0, k1 = (
            np.uint32((half + count * weyl) & LOW)
            for half, weyl in zip((seed & LOW, seed >> 32), WEYL, strict=True)
        )
        low0, high0 = _product(MULTIPLIERS[0], c0)
        low1, high1 = _product(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return [c0, c1, c2, c3]


def counters(step: int, threads: int) -> tuple[Words, Words, Words, Words]:
    """cuRAND's counters: the same step for each of `threads` threads -> 4 of [threads]."""
    zeros = np.zeros(threads, np.uint32)
    low, high = zeros + np.uint32(step & LOW), zeros + np.uint32(step >> 32 & LOW)
    return low, high, np.arange(threads, dtype=np.uint32), zeros


def _product(multiplier: np.uint64, word: Words) -> tuple[Words, Words]:
    """The low and the high half of a product of two words."""
    whole = word.astype(np.uint64) * multiplier
    return whole.astype(np.uint32), (whole >> np.uint64(32)).astype(np.uint32)
