"""Convolution as columns and a matrix product (im2col and GEMM), some rows at a time."""

from collections.abc import Sequence

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.kernels.product import grid
from refdiff.kernels.scratch import scratch
from refdiff.op import Array
from refdiff.workers import each

PIXELS = 256  # of a tile, about


def convolve(
    x: Array,
    w: Array,
    b: Array | None,
    size: tuple[int, int],
    stride: int,
    corner: tuple[int, int],
    dilation: int,
    groups: int,
) -> Array:
    """x [N,C,H,W], w [O,C/g,k,l], b [O], size (h,v), corner (top,left) -> [N,O,h,v]

    corner: rows and columns of zeros before the picture; those behind it follow from the size.
    """
    O, c, k, l = w.shape  # noqa: E741
    h, v = size
    dtype = np.result_type(x, w)
    y = np.empty((len(x), O, h * v), dtype)
    matrix, o = w.reshape(O, c * k * l), O // groups
    flat = k == l == stride == 1 and not any(corner) and size == x.shape[2:]

    def work(tile: tuple[int, slice, slice]) -> None:
        n, rows, some = tile
        g = some.start // o
        source = x[n, g * c : (g + 1) * c]
        part = slice(rows.start * v, rows.stop * v)
        if flat:
            columns = source.reshape(c, -1)[:, part]
        else:
            columns = scratch("columns", (c, k, l, rows.stop - rows.start, v), dtype)
            start = stride * rows.start - corner[0], -corner[1]
            reach = [
                stride * (a - 1) + dilation * (b - 1) + 1
                for a, b in ((rows.stop - rows.start, k), (v, l))
            ]
            copy_columns(window(source, start, reach), columns, stride, dilation)
            columns = columns.reshape(c * k * l, -1)
        out = y[n, some, part]
        np.matmul(matrix[some], columns, out=out)
        if b is not None:
            out += b[some, None]

    tiles = grid((len(x), h, v * c * k * l), max(PIXELS // v, 1), o)
    starts = [(tile, g * o) for tile in tiles for g in range(groups)]
    each(
        work,
        [(n, rows, slice(a + some.start, a + some.stop)) for (n, rows, some), a in starts],
    )
    return y.reshape(len(x), O, h, v)


def window(x: Array, start: tuple[int, int], size: Sequence[int]) -> Array:
    """Rows and columns of a picture from `start` on, zeros outside of it: x [C,H,W] -> [C,*size]"""
    y = scratch("window", (len(x), *size), x.dtype)
    y[...] = 0
    axes = [inside(a, n, total) for a, n, total in zip(start, size, x.shape[1:], strict=True)]
    (rows, to_rows), (columns, to_columns) = axes
    y[:, to_rows, to_columns] = x[:, rows, columns]
    return y


def inside(start: int, size: int, total: int) -> tuple[slice, slice]:
    """Where start..start+size meets 0..total, counted from 0 and from start."""
    first = min(max(start, 0), total)
    last = max(min(start + size, total), first)
    return slice(first, last), slice(first - start, last - start)


@jit
def copy_columns(x: Array, columns: Array, stride: int, dilation: int) -> None:
    """columns[c,u,v,i,j] = x[c, s i + d u, s j + d v]. x [C,H,W], columns [C,k,l,h,v]"""
    C, K, L, H, W = columns.shape
    for c in range(C):
        for u in range(K):
            for v in range(L):
                for i in range(H):
                    for j in range(W):
                        columns[c, u, v, i, j] = x[
                            c, stride * i + dilation * u, stride * j + dilation * v
                        ]
