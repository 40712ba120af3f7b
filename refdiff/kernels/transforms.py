"""Winograd's transforms of pictures, filters and products."""

import numpy as np

from refdiff.kernels.jit import inlined
from refdiff.kernels.lanes import copy, fill
from refdiff.kernels.panels import lay
from refdiff.kernels.points import SIDE, TAPS, TILE, evaluated, filtered, interpolated
from refdiff.kernels.squares import both_ways
from refdiff.op import Array

of_pixels = both_ways(evaluated, SIDE, SIDE)
of_filters = both_ways(filtered, TAPS, SIDE, axes=(1, 2, 0))  # [T,3,3,n]
of_products = both_ways(interpolated, SIDE, TILE, biased=True)


@inlined
def tiles_in(x: Array, first: int, across: int, top: int, left: int, v: Array) -> None:
    """Bᵀ d B of tiles `first` and on, `across` in a row. x [H,W,1,C], v [6,6,T,C]"""
    H, W, _, C = x.shape
    edge = np.empty((SIDE, SIDE, 1, C), np.float32)
    for t in range(v.shape[2]):
        row, column = TILE * ((first + t) // across) - top, TILE * ((first + t) % across) - left
        if 0 <= row <= H - SIDE and 0 <= column <= W - SIDE:
            of_pixels(x[row : row + SIDE, column : column + SIDE], v[:, :, t : t + 1])
            continue
        for i in range(SIDE):
            for j in range(SIDE):
                if 0 <= row + i < H and 0 <= column + j < W:
                    copy(x[row + i, column + j, 0], edge[i, j, 0])
                else:
                    fill(edge[i, j, 0], np.float32(0))
        of_pixels(edge, v[:, :, t : t + 1])


@inlined
def filters_in(w: Array, first: int, room: Array, u: Array) -> None:
    """G g Gᵀ of input channels `first` and on, as a panel of a product.

    w [O,C 9], O <= W, room [c,3,3,W], u [6,6,c,W]
    """
    lay(w[:, first * TAPS * TAPS : (first + len(room)) * TAPS * TAPS], room)
    of_filters(room, u)


@inlined
def tiles_out(m: Array, b: Array, first: int, across: int, y: Array) -> None:
    """Aᵀ m A + b of tiles `first` and on. m [6,6,T,O], b [O], y [h,w,1,O]"""
    h, w, _, O = y.shape  # noqa: E741
    edge = np.empty((TILE, TILE, 1, O), np.float32)
    for t in range(m.shape[2]):
        row, column = TILE * ((first + t) // across), TILE * ((first + t) % across)
        if row <= h - TILE and column <= w - TILE:
            of_products(m[:, :, t : t + 1], y[row : row + TILE, column : column + TILE], b)
            continue
        of_products(m[:, :, t : t + 1], edge, b)
        for i in range(min(TILE, h - row)):
            for j in range(min(TILE, w - column)):
                copy(edge[i, j, 0], y[row + i, column + j, 0])
