"""Attention head by head in blocks of queries: two matrix products and a softmax in place."""

import numpy as np

from refdiff.kernels.exponential import exp_from
from refdiff.kernels.scratch import scratch
from refdiff.op import Array
from refdiff.workers import each, parts

BLOCK = 1 << 18  # logits at a time: 1 MB in float32, which stay in the cache


def attend(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask broadcast to [*,L,S] -> [*,L,e]"""
    (L, d), S = q.shape[-2:], k.shape[-2]
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], S))
    y = np.empty((*q.shape[:-1], v.shape[-1]), np.result_type(q, k, v))
    root = float(np.sqrt(d))

    def work(tile: tuple[tuple[int, ...], slice]) -> None:
        head, rows = tile
        logits = scratch("logits", (rows.stop - rows.start, S), y.dtype)
        np.matmul(q[head][rows] / root, k[head].T, out=logits)
        if mask is not None:
            logits += mask[head][rows]
        total = exponentials(logits)
        np.matmul(logits, v[head], out=y[head][rows])
        y[head][rows] /= total

    blocks = parts(L, max(BLOCK // S, 1))
    each(work, [(head, rows) for head in np.ndindex(q.shape[:-2]) for rows in blocks])
    return y


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
