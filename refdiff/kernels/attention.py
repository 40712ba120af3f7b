"""Attention head by head in blocks of queries: two matrix products and a softmax in place."""

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.op import Array

_BLOCK = 512  # queries at a time: 512 x 4096 float32 logits are 8 MB


def attend(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask broadcast to [*,L,S] -> [*,L,e]"""
    L, d = q.shape[-2:]
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))
    y = np.empty((*q.shape[:-1], v.shape[-1]), np.result_type(q, k, v))
    q = q / float(np.sqrt(d))
    for head in np.ndindex(q.shape[:-2]):
        for start in range(0, L, _BLOCK):
            rows = slice(start, start + _BLOCK)
            logits = q[head][rows] @ k[head].T
            if mask is not None:
                logits += mask[head][rows]
            y[head][rows] = softmax_rows(logits) @ v[head]
    return y


@jit
def softmax_rows(x: Array) -> Array:
    """exp(x - max) over its sum, row by row and in place. x [R,L] -> [R,L]"""
    for r in range(x.shape[0]):
        row = x[r]
        top = row[0]
        for i in range(1, row.size):
            top = max(top, row[i])
        total = 0.0
        for i in range(row.size):
            row[i] = np.exp(row[i] - top)
            total += row[i]
        for i in range(row.size):
            row[i] /= total
    return x
