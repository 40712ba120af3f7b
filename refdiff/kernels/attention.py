"""Attention head by head in blocks of queries: two matrix products and a softmax in place."""

import numpy as np

from refdiff.kernels.exponential import exp_from
from refdiff.op import Array

BLOCK = 1 << 19  # logits at a time: 2 MB in float32, which stay in the cache


def attend(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask broadcast to [*,L,S] -> [*,L,e]"""
    (L, d), S = q.shape[-2:], k.shape[-2]
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], S))
    y = np.empty((*q.shape[:-1], v.shape[-1]), np.result_type(q, k, v))
    q = q / float(np.sqrt(d))
    rows = max(BLOCK // S, 1)
    for head in np.ndindex(q.shape[:-2]):
        for start in range(0, L, rows):
            part = slice(start, start + rows)
            logits = q[head][part] @ k[head].T
            if mask is not None:
                logits += mask[head][part]
            total = exponentials(logits)
            np.matmul(logits, v[head], out=y[head][part])
            y[head][part] /= total
    return y


def softmax(x: Array) -> Array:
    """exp(x - max) over its sum, in place. x [R,L] -> [R,L]"""
    total = exponentials(x)
    x /= total
    return x


def exponentials(x: Array) -> Array:
    """x <- exp(x - max) row by row; their sums. x [R,L] -> [R,1]"""
    with np.errstate(invalid="ignore"):  # a row that is -inf throughout gives nan
        exp_from(x, x.max(-1, keepdims=True))
    total: Array = x.sum(-1, keepdims=True)
    return total
