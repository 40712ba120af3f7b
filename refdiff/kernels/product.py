"""Matrix products in tiles: in float32 by blocks in registers, in float64 by BLAS on one thread.

A block's sums are the same in every tile. Those of BLAS depend on the tile's shape: so the shape of
one sample alone says what its tiles are.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import bias_or_zeros, fixed, jit
from refdiff.kernels.lanes import LANES, fill, total
from refdiff.kernels.panels import WIDTH, lay
from refdiff.kernels.scratch import scratch
from refdiff.op import Array
from refdiff.workers import each, parts

ROWS = 96  # of a tile
TILES = 8  # that threads have to share, at least,
LEAST = 1 << 20  # if that leaves so many multiplications to each
PANELS = 4  # that a tile lays down: they stay in the second cache, and rows are read seldom
FEW = 8  # rows of a sample, below which it is not worth to lay the matrix down anew


Way = Literal["row by row", "some columns at a time", "all columns laid down", "BLAS by tiles"]


def way(x: Array, w: Array) -> Way:
    """How `linear` goes about it. x [*,I], w [O,I]"""
    rows = x.shape[-2] if x.ndim > 2 else 1
    if not x.dtype == w.dtype == np.float32:
        return "BLAS by tiles"
    if rows < FEW:
        return "row by row"
    return "some columns at a time" if x.size // x.shape[-1] < len(w) else "all columns laid down"


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """x [*,I], w [O,I] -> [*,O]; the last two axes are one sample, of fewer the last alone."""
    O, I = w.shape  # noqa: E741
    y = np.empty((*x.shape[:-1], O), np.result_type(x, w))
    samples = np.ascontiguousarray(x).reshape(-1, x.shape[-2] if x.ndim > 2 else 1, I)
    target = y.reshape(*samples.shape[:2], O)
    rows, out, taken = samples.reshape(-1, I), target.reshape(-1, O), way(x, w)
    match taken:
        case "row by row":
            outs, w, bias = (
                parts(O, max(LEAST // (rows.size + 1), 1)),
                fixed(w),
                bias_or_zeros(b, O),
            )
            each(lambda some: dots(rows, w[some], bias[some], out[:, some]), outs)
        case "some columns at a time":
            by_columns(rows, fixed(w), bias_or_zeros(b, O), out)
        case _:
            times = ready(w, b, taken != "BLAS by tiles")
            tiles = divided(samples.shape[1], O, I)
            each(
                lambda tile: times(samples[tile[0], tile[1]], tile[2], target[tile[0], tile[1]]),
                [(n, *tile) for n in range(len(samples)) for tile in tiles],
            )
    return y


def by_columns(x: Array, w: Array, b: Array, y: Array) -> None:
    """Some columns of the product at a time, whose panels stay near. x [R,I], w [O,I], y [R,O]"""
    O, I = w.shape  # noqa: E741
    share = WIDTH * min(PANELS, -(-O // (TILES * WIDTH)))

    def work(outs: slice) -> None:
        count = -(-(outs.stop - outs.start) // WIDTH)
        panels = scratch("panels of a tile", (count, I, WIDTH), np.float32)
        _lay(w[outs], panels, 0, count)
        for some in parts(len(x), ROWS):
            _multiply(x[some], panels, b[outs], y[some], outs.start)

    each(work, parts(O, share))


def ready(w: Array, b: Array | None, single: bool) -> Callable[[Array, slice, Array], None]:
    """x, outs, y: y[:, outs] <- x w[outs]ᵀ + b[outs], for tiles. w [O,K], x [T,K], y [T,O]

    single: whether all is in float32. outs starts at a multiple of a panel's width, and no other
    matrix is made ready meanwhile.
    """
    if single:
        panels, bias = laid(fixed(w)), bias_or_zeros(b, len(w))
        return lambda x, outs, y: _multiply(
            x, panels[outs.start // WIDTH :], bias[outs], y, outs.start
        )

    def by_blas(x: Array, outs: slice, y: Array) -> None:
        np.matmul(x, w[outs].T, out=y[:, outs])
        if b is not None:
            y[:, outs] += b[outs]

    return by_blas


def divided(rows: int, columns: int, inner: int) -> list[tuple[slice, slice]]:
    """Tiles of a product: some rows each, and where those are few, some columns."""
    blocks = parts(rows, ROWS)
    share = max(-(-columns * len(blocks) // TILES), LEAST // (min(rows, ROWS) * inner), 1)
    wide = -(-share // WIDTH) * WIDTH
    return [(some, outs) for outs in parts(columns, wide) for some in blocks]


def laid(w: Array) -> Array:
    """w [O,K] as `multiply` reads it: [P,K,W], valid until the next one."""
    O, K = w.shape  # noqa: E741
    panels = scratch("panels", (-(-O // WIDTH), K, WIDTH), np.float32)
    share = max(LEAST // (8 * K * WIDTH), 1)
    each(lambda some: _lay(w, panels, some.start, some.stop), parts(len(panels), share))
    return panels


@jit
def _lay(w: Array, panels: Array, first: int, last: int) -> None:
    for panel in range(first, last):
        lay(w[panel * WIDTH : (panel + 1) * WIDTH], panels[panel])


@jit
def _multiply(x: Array, panels: Array, bias: Array, y: Array, column: int) -> None:
    """Columns `column` and on of y <- x w + bias. x [T,K], panels [P,K,W], bias [O], y [T,*]"""
    accumulate(x, panels, y[:, column : column + len(bias)], bias)


@jit
def dots(x: Array, w: Array, b: Array, y: Array) -> None:
    """Row by row, in lanes. x [R,I], w [O,I], b [O], y [R,O]"""
    R, I = x.shape  # noqa: E741
    whole = I - I % LANES
    sums = np.zeros(LANES, np.float32)
    for o in range(len(w)):
        factors = w[o]
        for r in range(R):
            row = x[r]
            fill(sums, np.float32(0))
            for i in range(0, whole, LANES):
                some, times = row[i : i + LANES], factors[i : i + LANES]
                for lane in range(LANES):
                    sums[lane] += some[lane] * times[lane]
            for i in range(whole, I):
                sums[i - whole] += row[i] * factors[i]
            y[r, o] = total(sums) + b[o]
