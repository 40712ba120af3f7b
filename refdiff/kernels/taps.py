"""Convolution as matrix products: of rows of pixels tap by tap, or of columns (im2col)."""

from typing import NamedTuple

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import bias_or_zeros, fixed, jit
from refdiff.kernels.lanes import copy
from refdiff.kernels.panels import WIDTH, lay
from refdiff.kernels.product import ROWS, divided, laid, linear
from refdiff.kernels.scratch import scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import each, parts, thread_count

PANELS = 1 << 18  # numbers of panels that stay in the second cache
Where = tuple[int, int, int, int, int]  # width of the kernel, stride, top, left, dilation


class Window(NamedTuple):
    """Where the kernel's taps meet the picture."""

    size: tuple[int, int]  # of the result
    stride: int = 1
    corner: tuple[int, int] = (0, 0)  # rows and columns of zeros before the picture
    dilation: int = 1

    def where(self, width: int) -> Where:
        """The same for compiled code."""
        return width, self.stride, *self.corner, self.dilation


def by_rows(x: Array, w: Array, b: Array | None, window: Window, y: Array) -> None:
    """x [N,H,W,C], w [O,C,k,l], b [O], y [N,hv,O]"""
    O, C, k, l = w.shape  # noqa: E741
    y = y.reshape(len(x), *window.size, O)
    wide = max(PANELS // (C * k * l * WIDTH), 1) * WIDTH
    panels = by_taps(w).reshape(-1, k * l, C, WIDTH)
    tiles = len(x) * window.size[0] * count(O, wide)
    _some_rows(tiles, x, window.where(l), panels, bias_or_zeros(b, O), y, wide)


def by_columns(x: Array, w: Array, b: Array | None, window: Window, y: Array) -> None:
    """x [N,H,W,C], w [O,C,k,l], b [O], y [N,hv,O]"""
    O, C, k, l = w.shape  # noqa: E741
    N, pixels, across, where = len(x), y.shape[1], window.size[1], window.where(l)
    filters, taps = w.reshape(O, -1), (C, k * l)
    if not x.dtype == w.dtype == np.float32:
        by_blas(x, filters, taps, b, window, where, y)
    elif pixels < O:
        columns = scratch("columns", (N, pixels, *taps), np.float32)
        _all_pixels(N * pixels, x, across, where, columns)
        y[...] = linear(columns.reshape(N, pixels, -1), filters, b)
    else:
        wide = divided(N * pixels, O, C * k * l)
        room = scratch("columns", (thread_count(), ROWS, *taps), np.float32)
        tiles, bias = N * count(pixels, ROWS) * count(O, wide), bias_or_zeros(b, O)
        _some_pixels(tiles, x, across, where, laid(fixed(filters)), bias, room, y, wide)


def by_blas(
    x: Array,
    filters: Array,
    taps: tuple[int, int],
    b: Array | None,
    window: Window,
    where: Where,
    y: Array,
) -> None:
    """x [N,H,W,C], filters [O,C kl], b [O], y [N,hv,O]"""

    def work(tile: tuple[int, slice]) -> None:
        n, some = tile
        columns = np.empty((some.stop - some.start, *taps), y.dtype)
        copy_columns(x[n], some.start, window.size[1], where, columns)
        np.matmul(columns.reshape(len(columns), -1), filters.T, out=y[n, some])
        if b is not None:
            y[n, some] += b

    each(work, [(n, some) for n in range(len(x)) for some in parts(y.shape[1], ROWS)])


def by_taps(w: Array) -> Array:
    """Panels of filters, tap by tap. w [O,C,k,l] -> [P,kl C,W], valid until the next ones"""
    O, C, k, l = w.shape  # noqa: E741
    panels = scratch("panels", (count(O, WIDTH), C * k * l, WIDTH), np.float32)
    room = scratch("panel", (thread_count(), C * k * l, WIDTH), np.float32)
    _lay_taps(len(panels), fixed(w.reshape(O, -1)), C, room, panels)
    return panels


@Tiled
def _lay_taps(w: Array, channels: int, room: Array, panels: Array, who: int, tile: int) -> None:
    """A panel of filters, tap by tap. w [O,C kl], room [threads,C kl,W], panels [P,kl C,W]"""
    panel, taps = room[who], w.shape[1] // channels
    lay(w[tile * WIDTH : (tile + 1) * WIDTH], panel)
    for tap in range(taps):
        for c in range(channels):
            for i in range(WIDTH):
                panels[tile, tap * channels + c, i] = panel[c * taps + tap, i]


@Tiled
def _some_rows(
    x: Array,
    where: Where,
    panels: Array,
    bias: Array,
    y: Array,
    wide: int,
    who: int,
    tile: int,
) -> None:
    """A row of pixels, some channels of them. x [N,H,W,C], panels [P,kl,C,W], y [N,h,v,O]"""
    width, stride, top, left, dilation = where
    N, h, v = y.shape[:3]
    H, W = x.shape[1:3]
    n, i, column = tile // h % N, tile % h, tile // (h * N) * wide
    outs, some = y[n, i, :, column : column + wide], panels[column // WIDTH :]
    for j in range(v):
        copy(bias[column : column + wide], outs[j])
    for tap in range(panels.shape[1]):
        row, shift = i * stride + dilation * (tap // width) - top, dilation * (tap % width) - left
        first, last = max(-(shift // stride), 0), min((W - 1 - shift) // stride + 1, v)
        if 0 <= row < H and first < last:
            pixels = x[n, row, first * stride + shift : (last - 1) * stride + shift + 1 : stride]
            accumulate(pixels, some[:, tap], outs[first:last], None)


@Tiled
def _all_pixels(x: Array, across: int, where: Where, columns: Array, who: int, tile: int) -> None:
    """What a pixel is made of. x [N,H,W,C], columns [N,P,C,kl]"""
    n, p = tile // columns.shape[1], tile % columns.shape[1]
    copy_columns(x[n], p, across, where, columns[n, p : p + 1])


@Tiled
def _some_pixels(
    x: Array,
    across: int,
    where: Where,
    panels: Array,
    bias: Array,
    room: Array,
    y: Array,
    wide: int,
    who: int,
    tile: int,
) -> None:
    """Some pixels and channels of y <- what they are made of, times filters.

    x [N,H,W,C], panels [P,C kl,W], room [threads,R,C,kl], y [N,P,O]
    """
    rows, blocks = room.shape[1], -(-y.shape[1] // room.shape[1])
    n, first = tile // blocks % len(x), tile % blocks * rows
    column = tile // (blocks * len(x)) * wide
    some, outs = y[n, first : first + rows, column : column + wide], bias[column : column + wide]
    columns = room[who, : len(some)]
    copy_columns(x[n], first, across, where, columns)
    flat = columns.reshape(len(columns), columns.shape[1] * columns.shape[2])
    accumulate(flat, panels[column // WIDTH :], some, outs)


@jit
def copy_columns(x: Array, first: int, across: int, where: Where, columns: Array) -> None:
    """What pixels `first` and on, `across` in a row, are made of. x [H,W,C], columns [P,C,kl]

    columns[p, c, u width + v] = x[s i + d u - top, s j + d v - left, c] for the pixel p = (i,j).
    """
    width, stride, top, left, dilation = where
    P, C, taps = columns.shape
    for p in range(P):
        row, column = (first + p) // across * stride - top, (first + p) % across * stride - left
        for tap in range(taps):
            i, j = row + dilation * (tap // width), column + dilation * (tap % width)
            if 0 <= i < len(x) and 0 <= j < x.shape[1]:
                for c in range(C):
                    columns[p, c, tap] = x[i, j, c]
            else:
                for c in range(C):
                    columns[p, c, tap] = 0
