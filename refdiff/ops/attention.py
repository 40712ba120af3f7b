"""Softmax, and scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

attention(q, k, v) = softmax(q kᵀ / sqrt(d) + mask) v
"""

import numpy as np

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def softmax(x: Array) -> Array:
    """exp(x) over its sum along the last axis, the maximum taken off first. x [*,L] -> [*,L]

    A row that is -inf throughout has no distribution and gives nan.
    """
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@softmax.kernel
def _(x: Array) -> Array:
    """In place, with a polynomial for exp in float32.

    The difference of two large logits carries their rounding into the exponential.
    Bound: (2 * γ(x.shape[-1] + 4) + 4 * u * np.ptp(x)) * y + tiny
    """
    rows = np.array(x, copy=True, order="C").reshape(-1, x.shape[-1])
    return kernels.attention.softmax(rows).reshape(x.shape)


@op
def attention(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """Each query's mean of the values, weighted by the softmax of its products with the keys.

    q [*,L,d], k [*,S,d], v [*,S,e], mask [L,S] -> [*,L,e]
    mask is added to the scaled products: 0 where a query may look, -inf where it may not; one
    with more axes is broadcast to them.
    Raises ShapeError where the widths, the lengths or the axes before them differ.
    """
    check(q, k, v)
    logits = (q @ k.swapaxes(-1, -2)) / float(np.sqrt(q.shape[-1]))
    return softmax(logits if mask is None else logits + mask) @ v


@attention.kernel
def _(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """Head by head, blocks of queries: no array of L x S for all heads at once.

    The logits differ by at most 2 γ(d) reach, with reach = max |q||k| / sqrt(d), and that is a
    relative difference of the weights; the weighted sum of S values adds its own γ(S).
    Bound: (4 * γ(q.shape[-1] + 4) * reach + 4 * γ(k.shape[-2] + 8)) * peak(v)
    """
    check(q, k, v)
    return kernels.attention.attend(q, k, v, mask)


@attention.choice
def _(q: Array, k: Array, v: Array, mask: Array | None = None) -> str:
    return kernels.attention.way(q, k, v)


def check(q: Array, k: Array, v: Array) -> None:
    """Raises ShapeError where queries, keys and values do not fit."""
    fit = q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
    if not fit or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ShapeError(f"attention: q {q.shape}, k {k.shape} and v {v.shape} do not fit")
