"""Winograd's transforms of pictures, filters and products, for many channels at once."""

import numpy as np

from refdiff.kernels.jit import inlined
from refdiff.kernels.lanes import copy
from refdiff.kernels.panels import WIDTH
from refdiff.kernels.points import TILE, evaluated, filtered, interpolated
from refdiff.op import Array

POINTS = 36
LANES = 64  # channels that are transformed together
FILTERS = 8  # input channels whose filters are transformed together


@inlined
def tiles_in(x: Array, first: int, across: int, top: int, left: int, v: Array) -> None:
    """Bᵀ d B of tiles `first` and on, `across` in a row. x [H,W,C], v [T,36,C]"""
    H, W, C = x.shape
    d, zeros = np.zeros((6, 6, LANES), np.float32), np.zeros(LANES, np.float32)
    for t in range(len(v)):
        row, column = TILE * ((first + t) // across) - top, TILE * ((first + t) % across) - left
        for start in range(0, C, LANES):
            n = min(LANES, C - start)
            for j in range(6):
                inside = 0 <= column + j < W
                x0, x1, x2, x3, x4, x5 = (
                    x[row, column + j, start:] if inside and 0 <= row < H else zeros,
                    x[row + 1, column + j, start:] if inside and 0 <= row + 1 < H else zeros,
                    x[row + 2, column + j, start:] if inside and 0 <= row + 2 < H else zeros,
                    x[row + 3, column + j, start:] if inside and 0 <= row + 3 < H else zeros,
                    x[row + 4, column + j, start:] if inside and 0 <= row + 4 < H else zeros,
                    x[row + 5, column + j, start:] if inside and 0 <= row + 5 < H else zeros,
                )
                for c in range(n):
                    d[0, j, c], d[1, j, c], d[2, j, c], d[3, j, c], d[4, j, c], d[5, j, c] = (
                        evaluated(x0[c], x1[c], x2[c], x3[c], x4[c], x5[c])
                    )
            for i in range(6):
                for c in range(n):
                    d[i, 0, c], d[i, 1, c], d[i, 2, c], d[i, 3, c], d[i, 4, c], d[i, 5, c] = (
                        evaluated(
                            d[i, 0, c], d[i, 1, c], d[i, 2, c], d[i, 3, c], d[i, 4, c], d[i, 5, c]
                        )
                    )
            for i in range(6):
                for j in range(6):
                    copy(d[i, j, :n], v[t, 6 * i + j, start : start + n])


@inlined
def filters_in(w: Array, first: int, u: Array) -> None:
    """G g Gᵀ of input channels `first` and on, as a panel of `multiply`. w [O,C,3,3], u [36,c,W]"""
    O, C = w.shape[:2]  # noqa: E741
    rows, flat = w.reshape(O, C * 9), u.reshape(POINTS, u.shape[1] * WIDTH)
    g = np.zeros((6, 6, FILTERS * WIDTH), np.float32)
    taps = np.zeros((3, 3, FILTERS * WIDTH), np.float32)
    for start in range(0, u.shape[1], FILTERS):
        some = min(FILTERS, u.shape[1] - start)
        n = some * WIDTH
        for o in range(O):
            row = rows[o, 9 * (first + start) : 9 * (first + start + some)]
            for c in range(some):
                for k in range(9):
                    taps[k // 3, k % 3, c * WIDTH + o] = row[9 * c + k]
        for j in range(3):
            for f in range(n):
                g[0, j, f], g[1, j, f], g[2, j, f], g[3, j, f], g[4, j, f], g[5, j, f] = filtered(
                    taps[0, j, f], taps[1, j, f], taps[2, j, f]
                )
        for i in range(6):
            for f in range(n):
                g[i, 0, f], g[i, 1, f], g[i, 2, f], g[i, 3, f], g[i, 4, f], g[i, 5, f] = filtered(
                    g[i, 0, f], g[i, 1, f], g[i, 2, f]
                )
        for i in range(6):
            for j in range(6):
                copy(g[i, j, :n], flat[6 * i + j, start * WIDTH : (start + some) * WIDTH])


@inlined
def tiles_out(m: Array, b: Array, first: int, across: int, y: Array, channel: int) -> None:
    """Aᵀ m A and the bias, to channels `channel` and on. m [T,36,P W], b [O], y [h,w,*]"""
    (h, w), O = y.shape[:2], len(b)  # noqa: E741
    d = np.zeros((6, 6, LANES), np.float32)
    for t in range(len(m)):
        row, column = TILE * ((first + t) // across), TILE * ((first + t) % across)
        for start in range(0, O, LANES):
            n = min(LANES, O - start)
            for j in range(6):
                m0, m1, m2 = m[t, j, start:], m[t, 6 + j, start:], m[t, 12 + j, start:]
                m3, m4, m5 = m[t, 18 + j, start:], m[t, 24 + j, start:], m[t, 30 + j, start:]
                for o in range(n):
                    d[0, j, o], d[1, j, o], d[2, j, o], d[3, j, o] = interpolated(
                        m0[o], m1[o], m2[o], m3[o], m4[o], m5[o]
                    )
            for i in range(TILE):
                for o in range(n):
                    d[i, 0, o], d[i, 1, o], d[i, 2, o], d[i, 3, o] = interpolated(
                        d[i, 0, o], d[i, 1, o], d[i, 2, o], d[i, 3, o], d[i, 4, o], d[i, 5, o]
                    )
            bias = b[start:]
            for i in range(min(TILE, h - row)):
                for j in range(min(TILE, w - column)):
                    source, target = d[i, j], y[row + i, column + j, channel + start :]
                    for o in range(n):
                        target[o] = source[o] + bias[o]
