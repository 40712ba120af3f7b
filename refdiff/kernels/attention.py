"""Attention head by head in blocks of queries: two matrix products and a softmax in place."""

from typing import Literal

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.exponential import exp_from
from refdiff.kernels.jit import inlined
from refdiff.kernels.lanes import ABREAST, LOWEST, copy, fill, largest
from refdiff.kernels.panels import VECTORS, WIDTH, fitting, lay
from refdiff.kernels.powers import OF_E, power, powers
from refdiff.kernels.scratch import result, scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import each, parts

Way = Literal["some keys at a time, running maxima", "BLAS, some queries at a time"]
BLOCK = 1 << 18  # logits at a time, by BLAS
VECTOR = WIDTH // VECTORS  # columns that values are rounded up to
QUERIES, KEYS = 96, 512  # of a block in float32: its logits, keys and values stay in the cache


def way(q: Array, k: Array, v: Array) -> Way:
    """Which of the two is taken."""
    if q.dtype == k.dtype == v.dtype == np.float32:
        return "some keys at a time, running maxima"
    return "BLAS, some queries at a time"


def attend(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask broadcast to [*,L,S] -> [*,L,e]"""
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))
    if way(q, k, v) == "some keys at a time, running maxima":
        y = in_float32(by_token(q), by_token(k), by_token(v), mask).swapaxes(1, 2)
        return y.reshape(*q.shape[:-1], v.shape[-1])
    y = np.empty((*q.shape[:-1], v.shape[-1]), np.result_type(q, k, v))
    blocks = parts(q.shape[-2], max(BLOCK // k.shape[-2], 1))
    each(
        lambda tile: by_blas(q[tile], k[tile[:-1]], v[tile[:-1]], of(mask, tile), y[tile]),
        [(*head, rows) for head in np.ndindex(q.shape[:-2]) for rows in blocks],
    )
    return y


def by_token(x: Array) -> Array:
    """x [*,L,d] -> [N,L,h,d], contiguous: as a token's heads lie that were never apart."""
    axes = (1,) * (4 - x.ndim) + x.shape if x.ndim < 4 else (-1, *x.shape[-3:])
    return np.ascontiguousarray(x.reshape(axes).swapaxes(1, 2))


def in_float32(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [N,L,h,d], k [N,S,h,d], v [N,S,h,e], mask broadcast to [*,L,S] -> [N,L,h,e]"""
    N, L, h, d = q.shape
    S, e = v.shape[1], v.shape[3]
    over, along = fitting(S), fitting(e)
    keys = scratch("keys", (N, h, count(S, over), d, over), np.float32)
    values = scratch("values", (N, h, count(e, along), S, along), np.float32)
    y = result((N, L, h, e), np.float32)
    given = np.zeros((0, 0, 0), np.float32) if mask is None else distinct(mask)
    _lay_down(N * h, k, v, keys, values)
    _some_queries(N * h * count(L, QUERIES), q, keys, values, given, y, QUERIES)
    return y


def distinct(mask: Array) -> Array:
    """mask [*,L,S] -> [M,L,S] in float32: M is 1 where all heads have the same."""
    same = not any(mask.strides[:-2])
    flat = mask[(0,) * (mask.ndim - 2)][None] if same else mask.reshape(-1, *mask.shape[-2:])
    return np.array(flat, np.float32, order="C")


def of(mask: Array | None, tile: tuple[int | slice, ...]) -> Array | None:
    """The tile's part of the mask."""
    return None if mask is None else mask[tile]


def by_blas(q: Array, k: Array, v: Array, mask: Array | None, y: Array) -> None:
    """q [T,d], k [S,d], v [S,e], mask [T,S], y [T,e]"""
    logits = scratch("logits", (len(q), len(k)), y.dtype)
    np.matmul(q / float(np.sqrt(q.shape[-1])), k.T, out=logits)
    if mask is not None:
        logits += mask
    total = exponentials(logits)
    np.matmul(logits, v, out=y)
    y /= total


@Tiled
def _lay_down(k: Array, v: Array, keys: Array, values: Array, who: int, tile: int) -> None:
    """Keys and values of a head as blocks of a product are read.

    k [N,S,h,d], v [N,S,h,e], keys [N,h,P,d,W], values [N,h,R,S,V]
    """
    n, h = tile // k.shape[2], tile % k.shape[2]
    over, along = keys.shape[4], values.shape[4]
    for panel in range(keys.shape[2]):
        lay(k[n, panel * over : (panel + 1) * over, h], keys[n, h, panel])
    for s in range(v.shape[1]):
        row = v[n, s, h]
        for panel in range(values.shape[2]):
            some, target = row[panel * along : (panel + 1) * along], values[n, h, panel, s]
            copy(some, target[: len(some)])
            fill(target[len(some) :], np.float32(0))


@Tiled
def _some_queries(
    q: Array,
    keys: Array,
    values: Array,
    mask: Array,
    y: Array,
    size: int,
    who: int,
    tile: int,
) -> None:
    """So many queries of a head.

    q [N,L,h,d], keys [N,h,P,d,W], values [N,h,R,S,V], mask [M,L,S] or empty, y [N,L,h,e]
    """
    blocks = -(-q.shape[1] // size)
    head, start = tile // blocks, tile % blocks * size
    n, h = head // q.shape[2], head % q.shape[2]
    T = min(size, q.shape[1] - start)
    scaled = np.empty((T, q.shape[3]), np.float32)
    sums = np.empty((T, -(-y.shape[3] // VECTOR) * VECTOR), np.float32)
    scale = np.float32(OF_E / np.sqrt(np.float64(q.shape[3])))
    for t in range(T):
        fill(sums[t], np.float32(0))
        for i in range(q.shape[3]):
            scaled[t, i] = q[n, start + t, h, i] * scale
    given = mask[head % len(mask), start : start + T] if len(mask) else sums[:0]
    totals = some_queries(scaled, keys[n, h], values[n, h], given, sums)
    for t in range(T):
        part = np.float32(1) / totals[t]
        for i in range(y.shape[3]):
            y[n, start + t, h, i] = sums[t, i] * part


@inlined
def some_queries(q: Array, keys: Array, values: Array, mask: Array, sums: Array) -> Array:
    """Some keys at a time, all sums scaled anew where a larger logit appears: the weights' total.

    Milakov & Gimelshein 2018 (arXiv 1805.02867, algorithm 3); Dao et al. 2022 (arXiv 2205.14135).
    q [T,d], keys [P,d,W], values [R,S,V], mask [T,S] or empty, sums [T,e] or more -> [T]
    """
    T, S, width = len(q), values.shape[1], keys.shape[2]
    logits = np.empty((T, -(-min(KEYS, S) // ABREAST) * ABREAST), np.float32)
    tops, totals = np.empty(T, np.float32), np.empty(T, np.float32)
    zeros = np.empty(logits.shape[1], np.float32)
    fill(tops, LOWEST)
    fill(totals, np.float32(0))
    fill(zeros, np.float32(0))
    for first in range(0, S, KEYS):
        n = min(KEYS, S - first)
        panels = keys[first // width : -(-(first + n) // width)]
        accumulate(q, panels, logits[:, : len(panels) * width], zeros)
        lanes_of_them = -(-n // ABREAST) * ABREAST
        for t in range(T):
            row = logits[t, :lanes_of_them]
            fill(row[n:], LOWEST)
            if len(mask):
                for s in range(n):
                    row[s] += mask[t, first + s] * np.float32(OF_E)
            highest = max(largest(row), tops[t])
            shift = highest if highest != LOWEST else np.float32(0)
            factor = power(tops[t] - shift)
            tops[t] = highest
            totals[t] = totals[t] * factor + powers(row, shift)
            for i in range(sums.shape[1]):
                sums[t, i] *= factor
        accumulate(logits[:, :n], values[:, first : first + n], sums, None)
    return totals


def softmax(x: Array) -> Array:
    """exp(x - max) over its sum, in place. x [R,L] -> [R,L]"""

    def work(rows: slice) -> None:
        total = exponentials(x[rows])
        x[rows] /= total

    each(work, parts(len(x), max(BLOCK // x.shape[1], 1)))
    return x


def exponentials(x: Array) -> Array:
    """x <- exp(x - max) row by row; their sums. x [R,L] -> [R,1]"""
    with np.errstate(invalid="ignore"):  # a row that is -inf throughout gives nan
        exp_from(x, x.max(-1, keepdims=True))
    total: Array = x.sum(-1, keepdims=True)
    return total
