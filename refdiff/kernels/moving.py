"""Copies and sums of whole pictures."""

import numpy as np

from refdiff.kernels.channels import add_to_rows, copy_rows
from refdiff.kernels.jit import fixed
from refdiff.kernels.lanes import copy
from refdiff.kernels.pixels import by_channel, by_pixel, like, past_caches
from refdiff.kernels.scratch import result
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
    y = result(pixels.shape, x.dtype)
    _shift(N * count(H * W, size), pixels, fixed(by.reshape(N, C)), y, size)
    return by_channel(y.reshape(N, H, W, C))


@Tiled
def _join(x: Array, y: Array, z: Array, rows: int, past: bool, who: int, tile: int) -> None:
    """Some rows of z <- those of x and of y side by side. x [R,C], y [R,D], z [R,C+D]"""
    some, C = slice(tile * rows, (tile + 1) * rows), x.shape[1]
    copy_rows(x[some], past, z[some, :C])
    copy_rows(y[some], past, z[some, C:])


def concat(x: Array, y: Array) -> Array:
    """The channels of two pictures side by side. x [N,C,*], y [N,D,*] -> [N,C+D,*]"""
    if x.dtype != y.dtype:
        dtype = np.result_type(x, y)
        x, y = x.astype(dtype), y.astype(dtype)
    left, right = by_pixel(x), by_pixel(y)
    C, D = left.shape[-1], right.shape[-1]
    z = result((*left.shape[:-1], C + D), x.dtype)
    rows, some = z.reshape(-1, C + D), max(TILE // (C + D), 1)
    _join(
        count(len(rows), some),
        left.reshape(-1, C),
        right.reshape(-1, D),
        rows,
        some,
        past_caches(z),
    )
    return by_channel(z)


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
    y = result((len(x), *size, x.shape[1]), x.dtype)
    _enlarge(len(x) * size[0], pixels, y)
    return by_channel(y)
