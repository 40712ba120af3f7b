"""A linear layer gated by GELU of its own second half: no more of them is there than a tile."""

import numpy as np

from refdiff.kernels.activations import gelu_number
from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import bias_or_zeros, fixed
from refdiff.kernels.panels import WIDTH, lay
from refdiff.kernels.product import PANELS, ROWS, TILES
from refdiff.kernels.scratch import result, scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import thread_count


def geglu_of_linear(x: Array, w: Array, b: Array | None) -> Array:
    """a gelu(g) for (a, g) = x wᵀ + b, in float32. x [*,I], w [2D,I], b [2D] -> [*,D]"""
    D, I, threads = len(w) // 2, w.shape[1], thread_count()  # noqa: E741
    y = result((*x.shape[:-1], D), np.float32)
    rows, out = np.ascontiguousarray(x).reshape(-1, I), y.reshape(-1, D)
    panels = max(min(PANELS // (2 * I * WIDTH), count(D, WIDTH) // TILES), 1)
    room = scratch("panels of a tile", (threads, 2, panels, I, WIDTH), np.float32)
    sums = scratch("both halves", (threads, 2, ROWS, panels * WIDTH), np.float32)
    tiles, bias = count(D, panels * WIDTH), bias_or_zeros(b, 2 * D)
    _gated(tiles, fixed(rows), fixed(w), bias, room, sums, out)
    return y


@Tiled
def _gated(
    x: Array, w: Array, bias: Array, room: Array, sums: Array, y: Array, who: int, tile: int
) -> None:
    """Some columns of y.

    x [R,I], w [2D,I], room [threads,2,P,I,W], sums [threads,2,T,P W], y [R,D]
    """
    D, rows, wide = y.shape[1], sums.shape[2], sums.shape[3]
    first, last = tile * wide, min((tile + 1) * wide, D)
    for half in range(2):
        for panel in range(-(-(last - first) // WIDTH)):
            start = half * D + first + panel * WIDTH
            lay(w[start : min(start + WIDTH, half * D + last)], room[who, half, panel])
    for row in range(0, len(x), rows):
        some = x[row : row + rows]
        for half in range(2):
            made = sums[who, half, : len(some), : last - first]
            accumulate(some, room[who, half], made, bias[half * D + first : half * D + last])
        for r in range(len(some)):
            values, gates, to = sums[who, 0, r], sums[who, 1, r], y[row + r][first:last]
            for i in range(len(to)):
                to[i] = values[i] * gelu_number(gates[i])
