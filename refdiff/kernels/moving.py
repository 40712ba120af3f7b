"""Copies and sums of whole pictures, in tiles by threads."""

from collections.abc import Sequence

import numpy as np

from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.op import Array
from refdiff.workers import each, parts

TILE = 1 << 18  # numbers at a time


def add(x: Array, y: Array) -> Array:
    """x [*], y [*] -> [*]"""
    if x.shape != y.shape or x.dtype != y.dtype:
        return x + y
    z = np.empty_like(x)  # laid down in memory as x is
    if not x.strides == y.strides == z.strides:
        return np.add(x, y, out=z)
    a, b, c = x.ravel("K"), y.ravel("K"), z.ravel("K")
    each(lambda some: np.add(a[some], b[some], out=c[some]), parts(x.size, TILE))
    return z


def concat(pictures: Sequence[Array]) -> Array:
    """Pictures with their channels side by side: [N,C,*] each -> [N,D,*]"""
    sources = [by_pixel(x) for x in pictures]
    channels = [x.shape[-1] for x in sources]
    y = np.empty((*sources[0].shape[:-1], sum(channels)), np.result_type(*pictures))
    target, ends = y.reshape(-1, y.shape[-1]), np.cumsum([0, *channels])

    def work(rows: slice) -> None:
        for x, start, stop in zip(sources, ends, ends[1:], strict=False):
            target[rows, start:stop] = x.reshape(-1, x.shape[-1])[rows]

    each(work, parts(len(target), max(TILE // y.shape[-1], 1)))
    return by_channel(y)


def upsample_nearest(x: Array, size: tuple[int, int]) -> Array:
    """x [N,C,H,W] -> [N,C,h,w]"""
    pixels, (h, w) = by_pixel(x), size
    N, H, W, C = pixels.shape
    y = np.empty((N, h, w, C), x.dtype)
    columns = np.arange(w) * W // w

    def work(tile: tuple[int, int]) -> None:
        n, row = tile
        np.take(pixels[n, row * H // h], columns, axis=0, out=y[n, row])

    each(work, [(n, row) for n in range(N) for row in range(h)])
    return by_channel(y)
