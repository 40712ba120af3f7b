"""Pictures as kernels lay them down: the channels of a pixel side by side in memory.

Ops speak of [N,C,H,W] throughout; which axis is contiguous is told by an array's strides. So pixels
become tokens, and tokens pixels, without a copy, and every loop runs over channels.
"""

from functools import cache

import numpy as np

from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array

TILE = 1 << 16  # numbers at a time
FAR = 1 << 25  # bytes that are not in a cache any more when they are read


def by_pixel(x: Array) -> Array:
    """x [N,C,*] -> [N,*,C] and contiguous; without a copy where x is laid down so."""
    y = x.transpose(_orders(x.ndim)[0])
    if y.flags.c_contiguous:
        return y
    if not x.flags.c_contiguous:
        return np.ascontiguousarray(y)
    made = result(y.shape, y.dtype)
    source, target = x.reshape(*x.shape[:2], -1), made.reshape(len(x), -1, x.shape[1])
    size = max(TILE // x.shape[1], 1)
    _transpose(len(x) * count(source.shape[2], size), source, target, size)
    return made


def by_channel(y: Array) -> Array:
    """The same array as ops speak of it: y [N,*,C] -> [N,C,*]"""
    return y.transpose(_orders(y.ndim)[1])


def laid(x: Array) -> Array:
    """The same array, its channels side by side in memory. x [N,C,*] -> [N,C,*]"""
    return by_channel(by_pixel(x))


def past_caches(y: Array) -> bool:
    """Whether a result is better not written into caches, which had to read its lines first."""
    return y.nbytes >= FAR


@cache
def _orders(axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of axes, with channels last and with channels second."""
    return (0, *range(2, axes), 1), (0, axes - 1, *range(1, axes - 1))


@Tiled
def _transpose(x: Array, y: Array, size: int, who: int, tile: int) -> None:
    """Some pixels of y <- those of x. x [N,C,P], y [N,P,C]"""
    blocks = -(-y.shape[1] // size)
    n, first = tile // blocks, tile % blocks * size
    for p in range(first, min(first + size, y.shape[1])):
        row = y[n, p]
        for c in range(len(row)):
            row[c] = x[n, c, p]
