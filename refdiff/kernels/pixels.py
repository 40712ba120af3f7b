"""Pictures as kernels lay them down: the channels of a pixel side by side in memory.

Ops speak of [N,C,H,W] throughout; which axis is contiguous is told by an array's strides. So pixels
become tokens, and tokens pixels, without a copy, and every loop runs over channels.
"""

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.op import Array
from refdiff.workers import each, parts

TILE = 1 << 16  # numbers at a time


def by_pixel(x: Array) -> Array:
    """x [N,C,*] -> [N,*,C] and contiguous; without a copy where x is laid down so."""
    y = np.moveaxis(x, 1, -1)
    if y.flags.c_contiguous:
        return y
    if not x.flags.c_contiguous:
        return np.ascontiguousarray(y)
    made = np.empty(y.shape, y.dtype)
    source, target = x.reshape(*x.shape[:2], -1), made.reshape(len(x), -1, x.shape[1])
    blocks = parts(source.shape[2], max(TILE // x.shape[1], 1))
    tiles = [(n, some) for n in range(len(x)) for some in blocks]
    each(lambda tile: _transpose(source[tile[0], :, tile[1]], target[tile]), tiles)
    return made


def by_channel(y: Array) -> Array:
    """The same array as ops speak of it: y [N,*,C] -> [N,C,*]"""
    return np.moveaxis(y, -1, 1)


@jit
def _transpose(x: Array, y: Array) -> None:
    """x [C,P], y [P,C]"""
    for p in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[p, c] = x[c, p]
