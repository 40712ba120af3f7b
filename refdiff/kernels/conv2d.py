"""Convolution by columns and matrix products (im2col and GEMM), or by Winograd where that pays."""

from typing import Literal, NamedTuple

import numpy as np

from refdiff.kernels import winograd
from refdiff.kernels.jit import jit
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.kernels.product import divided, linear, ready
from refdiff.kernels.scratch import scratch
from refdiff.op import Array
from refdiff.workers import each


class Window(NamedTuple):
    """Where the kernel's taps meet the picture."""

    size: tuple[int, int]  # of the result
    stride: int = 1
    corner: tuple[int, int] = (0, 0)  # rows and columns of zeros before the picture
    dilation: int = 1


Way = Literal["Winograd F(4x4,3x3)", "pixels times filters", "columns times filters"]


def way(x: Array, w: Array, window: Window, groups: int) -> Way:
    """Which of the three is taken. x [N,C,H,W], w [O,C/g,k,l]"""
    size, kernel = window.size, w.shape[2:]
    plain = window.stride == window.dilation == groups == 1
    if plain and kernel == (1, 1) and not any(window.corner) and size == x.shape[2:]:
        return "pixels times filters"
    single = x.dtype == w.dtype == np.float32
    if plain and kernel == (3, 3) and single and winograd.pays(size):
        return "Winograd F(4x4,3x3)"
    return "columns times filters"


def convolve(x: Array, w: Array, b: Array | None, window: Window, groups: int) -> Array:
    """x [N,C,H,W], w [O,C/g,k,l], b [O] -> [N,O,h,v]"""
    pixels, (O, c, _, _), size = by_pixel(x), w.shape, window.size  # noqa: E741
    match way(x, w, window, groups):
        case "pixels times filters":
            y = linear(pixels.reshape(len(x), size[0] * size[1], c), w.reshape(O, c), b)
        case "Winograd F(4x4,3x3)":
            y = winograd.convolve(pixels, w, b, size, window.corner)
        case _:
            y = np.empty((len(x), size[0] * size[1], O), np.result_type(x, w))
            for start in range(0, O, O // groups):
                outs = slice(start, start + O // groups)
                source = pixels[..., c * (start // (O // groups)) :][..., :c]
                by_columns(source, w[outs], None if b is None else b[outs], window, y[..., outs])
    return by_channel(y.reshape(len(x), *size, O))


def by_columns(x: Array, w: Array, b: Array | None, window: Window, y: Array) -> None:
    """x [N,H,W,C], w [O,C,k,l], b [O], y [N,hv,O]"""
    O, C, k, l = w.shape  # noqa: E741
    times = ready(w.reshape(O, C * k * l), b, x.dtype == w.dtype == np.float32)

    def work(tile: tuple[int, slice, slice]) -> None:
        n, some, outs = tile
        columns = scratch("columns", (some.stop - some.start, C, k * l), y.dtype)
        where = window.size[1], l, window.stride, *window.corner, window.dilation
        copy_columns(x[n], some.start, *where, columns)
        times(columns.reshape(len(columns), -1), outs, y[n, some])

    each(work, [(n, *tile) for n in range(len(x)) for tile in divided(y.shape[1], O, C * k * l)])


@jit
def copy_columns(
    x: Array,
    first: int,
    across: int,
    width: int,
    stride: int,
    top: int,
    left: int,
    dilation: int,
    columns: Array,
) -> None:
    """What pixels `first` and on, `across` in a row, are made of. x [H,W,C], columns [P,C,kl]

    columns[p, c, u width + v] = x[s i + d u - top, s j + d v - left, c] for the pixel p = (i,j).
    """
    H, W, C = x.shape
    for p in range(columns.shape[0]):
        row, column = (first + p) // across * stride - top, (first + p) % across * stride - left
        for tap in range(columns.shape[2]):
            i, j = row + dilation * (tap // width), column + dilation * (tap % width)
            if 0 <= i < H and 0 <= j < W:
                for c in range(C):
                    columns[p, c, tap] = x[i, j, c]
            else:
                for c in range(C):
                    columns[p, c, tap] = 0
