"""Copies and sums of whole pictures."""

from typing import Any

import numpy as np

from refdiff.kernels.channels import add_to_rows, copy_rows
from refdiff.kernels.crew import crew
from refdiff.kernels.jit import jit
from refdiff.kernels.laid import alike, in_pixels, like, numbers, pixels, with_channels
from refdiff.kernels.lanes import copy
from refdiff.kernels.pixels import FAR, by_channel, by_pixel, laid
from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count, within
from refdiff.op import Array

TILE = 1 << 14  # numbers at a time


@Tiled
def _add_some(x: Array, y: Array, z: Array, size: int, who: int, tile: int) -> None:
    """z <- x + y. x, y, z [n]"""
    a, b = x[tile * size : (tile + 1) * size], y[tile * size : (tile + 1) * size]
    c = z[tile * size : (tile + 1) * size]
    for i in range(len(c)):
        c[i] = a[i] + b[i]


@Tiled
def _shift_some(x: Array, shift: Array, y: Array, size: int, who: int, tile: int) -> None:
    """Some pixels of y <- x + shift. x [N,P,C], shift [N,1,C], y [N,P,C]"""
    blocks = -(-x.shape[1] // size)
    n, first = tile // blocks, tile % blocks * size
    some = slice(first, first + size)
    add_to_rows(x[n, some], shift[n, 0], y[n, some])


@Tiled
def _join_some(x: Array, y: Array, z: Array, size: int, past: bool, who: int, tile: int) -> None:
    """Some pixels of z <- those of x and of y side by side. x [N,P,C], y [N,P,D], z [N,P,C+D]"""
    blocks = -(-x.shape[1] // size)
    n, first, C = tile // blocks, tile % blocks * size, x.shape[2]
    some = slice(first, first + size)
    copy_rows(x[n, some], past, z[n, some, :C])
    copy_rows(y[n, some], past, z[n, some, C:])


add_all, shift_all, join_all = within(_add_some), within(_shift_some), within(_join_some)


@jit
def _add(crew: Array, x: Array, y: Array, size: int) -> Array | None:
    """x + y; None where they do not lie alike. x, y [*] -> [*]"""
    if not alike(x, y):
        return None
    z = like(x)
    add_all(-(-x.size // size), crew, numbers(x), numbers(y), numbers(z), size)
    return z


@jit
def _shift(crew: Array, x: Array, by: Array, tile: int) -> Array | None:
    """x + by; None where they do not lie in pixels. x [N,C,*], by [N,C,1,1] -> [N,C,*]"""
    if not (in_pixels(x) and in_pixels(by)):
        return None
    y, size = like(x), max(tile // x.shape[1], 1)
    some, to = pixels(x), pixels(y)
    shift_all(len(x) * -(-some.shape[1] // size), crew, some, pixels(by), to, size)
    return y


@jit
def _join(crew: Array, x: Array, y: Array, tile: int, far: int) -> Array | None:
    """Channels side by side; None where they do not lie in pixels. [N,C,*], [N,D,*] -> [N,C+D,*]"""
    if not (in_pixels(x) and in_pixels(y)):
        return None
    channels = x.shape[1] + y.shape[1]
    z, size = with_channels(x, channels), max(tile // channels, 1)
    left, right, to = pixels(x), pixels(y), pixels(z)
    join_all(len(x) * -(-to.shape[1] // size), crew, left, right, to, size, z.nbytes >= far)
    return z


def add(x: Array, y: Array) -> Array:
    """x [*], y [*] -> [*]; a number for every channel, y [N,C,1,1], to all its pixels."""
    if x.dtype == y.dtype:
        if x.shape == y.shape:
            z = _add(crew(count(x.size, TILE)), x, y, TILE)
            return x + y if z is None else z
        if x.ndim == 4 and y.shape == (*x.shape[:2], 1, 1):
            return by_pixels(_shift, x, y, TILE)
    return x + y


def concat(x: Array, y: Array) -> Array:
    """The channels of two pictures side by side. x [N,C,*], y [N,D,*] -> [N,C+D,*]"""
    if x.dtype != y.dtype:
        dtype = np.result_type(x, y)
        x, y = x.astype(dtype), y.astype(dtype)
    return by_pixels(_join, x, y, TILE, FAR)


def by_pixels(kernel: Any, x: Array, y: Array, *sizes: int) -> Array:
    """What a kernel makes of two pictures, which are first laid down in pixels if they are not."""
    z = kernel(crew(count(x.size, TILE)), x, y, *sizes)
    return kernel(crew(1), laid(x), laid(y), *sizes) if z is None else z


@Tiled
def _enlarge(x: Array, y: Array, who: int, tile: int) -> None:
    """A row of pixels of y <- those of x that they repeat. x [N,H,W,C], y [N,h,w,C]"""
    n, i = tile // y.shape[1], tile % y.shape[1]
    row, to = x[n, i * x.shape[1] // y.shape[1]], y[n, i]
    for j in range(len(to)):
        copy(row[j * len(row) // len(to)], to[j])


def upsample_nearest(x: Array, size: tuple[int, int]) -> Array:
    """x [N,C,H,W] -> [N,C,h,w]"""
    y = result((len(x), *size, x.shape[1]), x.dtype)
    _enlarge(len(x) * size[0], by_pixel(x), y)
    return by_channel(y)
