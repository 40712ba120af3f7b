"""Attention head by head in blocks of queries: two matrix products and a softmax in place."""

import numpy as np

from refdiff.kernels.block import WIDTH, accumulate, lay
from refdiff.kernels.exponential import exp32, exp_from
from refdiff.kernels.jit import inlined, jit
from refdiff.kernels.scratch import scratch
from refdiff.op import Array
from refdiff.workers import each, parts

BLOCK = 1 << 18  # logits at a time, by BLAS
QUERIES, KEYS = 96, 512  # of a block in float32: its logits, keys and values stay in the cache
LANES = 64
LOWEST = np.float32(-np.inf)


def attend(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask broadcast to [*,L,S] -> [*,L,e]"""
    (L, d), S, e = q.shape[-2:], k.shape[-2], v.shape[-1]
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], S))
    y = room_for(q, v)
    heads = [*np.ndindex(q.shape[:-2])]
    if not q.dtype == k.dtype == v.dtype == np.float32:
        blocks = parts(L, max(BLOCK // S, 1))
        each(
            lambda tile: by_blas(q[tile], k[tile[:-1]], v[tile[:-1]], of(mask, tile), y[tile]),
            [(*head, rows) for head in heads for rows in blocks],
        )
        return y
    keys = scratch("keys", (*q.shape[:-2], -(-S // WIDTH), d, WIDTH), np.float32)
    values = scratch("values", (*q.shape[:-2], -(-e // WIDTH), S, WIDTH), np.float32)
    each(lambda head: lay_down(k[head], v[head], keys[head], values[head]), heads)

    def work(tile: tuple[int | slice, ...]) -> None:
        head, some = tile[:-1], of(mask, tile)
        given = np.zeros((0, S), np.float32) if some is None else some.astype(np.float32)
        some_queries(q[tile], keys[head], values[head], given, y[tile])

    each(work, [(*head, rows) for head in heads for rows in parts(L, QUERIES)])
    return y


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


@jit
def lay_down(k: Array, v: Array, keys: Array, values: Array) -> None:
    """Keys and values as `multiply` reads them. k [S,d], v [S,e], keys [P,d,W], values [R,S,W]"""
    for panel in range(len(keys)):
        lay(k[panel * WIDTH : (panel + 1) * WIDTH], keys[panel])
    for panel in range(len(values)):
        first = panel * WIDTH
        n = min(WIDTH, v.shape[1] - first)
        for s in range(len(v)):
            row, target = v[s, first : first + n], values[panel, s]
            for column in range(n):
                target[column] = row[column]
            for column in range(n, WIDTH):
                target[column] = 0


@jit
def some_queries(q: Array, keys: Array, values: Array, mask: Array, y: Array) -> None:
    """Some keys at a time, all sums scaled anew where a larger logit appears.

    Milakov & Gimelshein 2018 (arXiv 1805.02867, algorithm 3); Dao et al. 2022 (arXiv 2205.14135).
    q [T,d], keys [P,d,W], values [R,S,W], mask [T,S] or empty, y [T,e]
    """
    T, d, S = len(q), q.shape[1], values.shape[1]
    scale = np.float32(1 / np.sqrt(np.float64(d)))
    scaled, logits = np.empty((T, d), np.float32), np.empty((T, KEYS), np.float32)
    sums = np.zeros((T, len(values) * WIDTH), np.float32)
    tops, totals = np.empty(T, np.float32), np.zeros(T, np.float32)
    tops[:], lanes = LOWEST, np.empty(LANES, np.float32)
    for t in range(T):
        for i in range(d):
            scaled[t, i] = q[t, i] * scale
    for first in range(0, S, KEYS):
        n = min(KEYS, S - first)
        panels = keys[first // WIDTH : -(-(first + n) // WIDTH)]
        accumulate(scaled, panels, logits[:, : len(panels) * WIDTH], True)
        for t in range(T):
            row = logits[t, :n]
            if len(mask):
                for s in range(n):
                    row[s] += mask[t, first + s]
            top = max_of(row, tops[t], lanes)
            shift = top if top != LOWEST else np.float32(0)
            factor = exp32(tops[t] - shift)
            tops[t] = top
            totals[t] = totals[t] * factor + exponentials_of(row, shift, lanes)
            for i in range(sums.shape[1]):
                sums[t, i] *= factor
        accumulate(logits[:, :n], values[:, first : first + n], sums, False)
    for t in range(T):
        for i in range(y.shape[1]):
            y[t, i] = sums[t, i] / totals[t]


@inlined
def max_of(x: Array, least: np.float32, lanes: Array) -> np.float32:
    """The largest of x [n] and `least`; nan where one is."""
    lanes[:] = least
    whole = len(x) - len(x) % LANES
    for s in range(0, whole, LANES):
        some = x[s : s + LANES]
        for lane in range(LANES):
            lanes[lane] = np.maximum(some[lane], lanes[lane])
    for s in range(whole, len(x)):
        lanes[s - whole] = np.maximum(x[s], lanes[s - whole])
    top = least
    for lane in range(LANES):
        top = np.maximum(top, lanes[lane])
    return top


@inlined
def exponentials_of(x: Array, top: np.float32, lanes: Array) -> np.float32:
    """x <- exp(x - top), and their sum. x [n]"""
    for s in range(len(x)):
        x[s] = exp32(x[s] - top)
    lanes[:] = 0
    whole = len(x) - len(x) % LANES
    for s in range(0, whole, LANES):
        some = x[s : s + LANES]
        for lane in range(LANES):
            lanes[lane] += some[lane]
    for s in range(whole, len(x)):
        lanes[s - whole] += x[s]
    return lanes.sum()


def room_for(q: Array, v: Array) -> Array:
    """[*,L,e], laid down so that the heads of a query lie side by side: they are merged next."""
    shape = (*q.shape[:-1], v.shape[-1])
    dtype = np.result_type(q, v)
    if q.ndim < 4:
        return np.empty(shape, dtype)
    *batch, heads, L, e = shape
    return np.empty((*batch, L, heads, e), dtype).swapaxes(-3, -2)


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
