"""Copies and sums of whole pictures."""

from collections.abc import Sequence

import numpy as np

from refdiff.kernels.channels import add_to_rows, copy_rows
from refdiff.kernels.jit import fixed
from refdiff.kernels.lanes import copy
from refdiff.kernels.pixels import by_channel, by_pixel, like, past_caches
from refdiff.kernels.scratch import aligned
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array

TILE = 1 << 14  # numbers at a time


@Tiled
def _add(x: Array, y: Array, z: Array, size: int, who: int, tile: int) -> None:
    """z <- x + y. x, y, z [n]"""
    a, b = x[tile * size : (tile + 1) * size], y[tile * size : (tile + 1) * size]
    c = z[tile * size : (tile + 1) * size]
    for i in range(len(c)):
        c[i] = a[i] + b[i]


@Tiled
def _shift(x: Array, shift: Array, y: Array, size: int, who: int, tile: int) -> None:
    """Some pixels of y <- x + shift. x, y [N,P,C], shift [N,C]"""
    blocks = -(-x.shape[1] // size)
    n, first = tile // blocks, tile % blocks * size
    some = slice(first, first + size)
    add_to_rows(x[n, some], shift[n], y[n, some])


def add(x: Array, y: Array) -> Array:
    """x [*], y [*] -> [*]; a number for every channel, y [N,C,1,1], to all its pixels."""
    if x.dtype != y.dtype:
        return x + y
    if x.shape == y.shape:
        z = like(x)
        if not x.strides == y.strides == z.strides:
            return np.add(x, y, out=z)
        _add(count(x.size, TILE), x.ravel("K"), y.ravel("K"), z.ravel("K"), TILE)
        return z
    return shifted(x, y) if x.ndim == 4 and y.shape == (*x.shape[:2], 1, 1) else x + y


def shifted(x: Array, by: Array) -> Array:
    """x [N,C,H,W], by [N,C,1,1] -> [N,C,H,W]"""
    N, C, H, W = x.shape
    pixels, size = by_pixel(x).reshape(N, H * W, C), max(TILE // C, 1)
    y = aligned(pixels.shape, x.dtype)
    _shift(N * count(H * W, size), pixels, fixed(by.reshape(N, C)), y, size)
    return by_channel(y.reshape(N, H, W, C))


@Tiled
def _join(sources: tuple[Array, ...], y: Array, rows: int, past: bool, who: int, tile: int) -> None:
    """Some rows of y <- theirs side by side. sources [R,*] each, y [R,D]"""
    some, start = slice(tile * rows, (tile + 1) * rows), 0
    for x in sources:
        copy_rows(x[some], past, y[some, start : start + x.shape[1]])
        start += x.shape[1]


def concat(pictures: Sequence[Array]) -> Array:
    """Pictures with their channels side by side: [N,C,*] each -> [N,D,*]"""
    dtype, sources = np.result_type(*pictures), [by_pixel(x) for x in pictures]
    channels = [x.shape[1] for x in pictures]
    flat = [x.reshape(-1, C) for x, C in zip(sources, channels, strict=True)]
    rows = tuple(fixed(x if x.dtype == dtype else x.astype(dtype)) for x in flat)
    y = aligned((len(rows[0]), sum(channels)), dtype)
    some = max(TILE // y.shape[1], 1)
    _join(count(len(y), some), rows, y, some, past_caches(y))
    return by_channel(y.reshape(*sources[0].shape[:-1], -1))


@Tiled
def _enlarge(x: Array, y: Array, who: int, tile: int) -> None:
    """A row of pixels of y <- those of x that they repeat. x [N,H,W,C], y [N,h,w,C]"""
    n, i = tile // y.shape[1], tile % y.shape[1]
    row, to = x[n, i * x.shape[1] // y.shape[1]], y[n, i]
    for j in range(len(to)):
        copy(row[j * len(row) // len(to)], to[j])


def upsample_nearest(x: Array, size: tuple[int, int]) -> Array:
    """x [N,C,H,W] -> [N,C,h,w]"""
    pixels = by_pixel(x)
    y = aligned((len(x), *size, x.shape[1]), x.dtype)
    _enlarge(len(x) * size[0], pixels, y)
    return by_channel(y)
