"""Operations that only move values: nearest-neighbour resizing and concatenation."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def upsample_nearest(x: Array, *, size: tuple[int, int] | None = None) -> Array:
    """y[i,j] = x[floor(i H/H'), floor(j W/W')]: each pixel repeated.

    x [N,C,H,W] -> [N,C,H',W']
    size: (H', W'), or twice the picture where None.
    Raises ShapeError for an empty size.
    """
    H, W = x.shape[2:]
    h, w = checked(x, size)
    return x[:, :, np.arange(h)[:, None] * H // h, np.arange(w) * W // w]


@upsample_nearest.kernel
def _(x: Array, *, size: tuple[int, int] | None = None) -> Array:
    """Row by row.

    Bound: 0
    """
    return kernels.moving.upsample_nearest(x, checked(x, size))


def checked(x: Array, size: tuple[int, int] | None) -> tuple[int, int]:
    """The size asked for; raises ShapeError for an empty one."""
    h, w = size or (2 * x.shape[2], 2 * x.shape[3])
    if min(h, w) < 1:
        raise ShapeError(f"upsample_nearest: the size {h} x {w} is empty")
    return h, w


@op
def concat(first: Array, *others: Array, axis: int = 1) -> Array:
    """The arrays one after the other along `axis`. x [N,C,*], y [N,D,*] -> [N,C+D,*]"""
    parts: Sequence[Array] = (first, *others)
    return np.concatenate(parts, axis=axis)


@concat.kernel
def _(first: Array, *others: Array, axis: int = 1) -> Array:
    """Pixel by pixel where channels are joined.

    Bound: 0
    """
    if axis != 1 or not others:
        return concat.definition(first, *others, axis=axis)
    return reduce(kernels.moving.concat, others, first)
