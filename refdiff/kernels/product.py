"""Matrix products in tiles: in float32 by blocks in registers, in float64 by BLAS on one thread.

A block's sums are the same in every tile. Those of BLAS depend on the tile's shape: so the shape of
one sample alone says what its tiles are.
"""

from typing import Literal

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.channels import add_to_rows
from refdiff.kernels.jit import bias_or_zeros, fixed
from refdiff.kernels.lanes import ABREAST, fill, total
from refdiff.kernels.panels import WIDTH, lay
from refdiff.kernels.scratch import result, scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import each, parts, thread_count

ROWS = 96  # of a tile
TILES = 8  # that threads have to share, at least,
LEAST = 1 << 17  # if that leaves so many multiplications to each
INNER = 1280  # of a tile's panels
PANELS = 1 << 18  # numbers of panels that a tile lays down: they stay in the second cache
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


def linear(x: Array, w: Array, b: Array | None, to: Array | None = None) -> Array:
    """x [*,I], w [O,I] -> [*,O]; the last two axes are one sample, of fewer the last alone.

    to [*,O]: what that is added to, in float32.
    """
    O, I = w.shape  # noqa: E741
    y = result((*x.shape[:-1], O), np.result_type(x, w))
    rows, out, taken = np.ascontiguousarray(x).reshape(-1, I), y.reshape(-1, O), way(x, w)
    if taken == "BLAS by tiles":
        by_blas(rows, w, b, out, x.shape[-2] if x.ndim > 2 else 1)
        return y
    w, bias, more = fixed(w), bias_or_zeros(b, O), added(to, O)
    match taken:
        case "row by row":
            size = max(LEAST // (rows.size + 1), 1)
            _dots(count(O, size), rows, w, bias, more, out, size)
        case "some columns at a time":
            inner = min(I, INNER)
            panels = max(min(PANELS // (inner * WIDTH), count(O, WIDTH) // TILES), 1)
            room = scratch("panels of a tile", (thread_count(), panels, inner, WIDTH), np.float32)
            _some_columns(count(O, panels * WIDTH), rows, w, bias, more, room, out, ROWS)
        case _:
            wide = divided(len(rows), O, I)
            tiles = count(len(rows), ROWS) * count(O, wide)
            _multiply(tiles, rows, laid(w), bias, more, out, ROWS, wide)
    return y


def added(to: Array | None, columns: int) -> Array:
    """What compiled code adds: to [*,O] as rows, none for None. -> [R,O]"""
    return fixed(np.empty((0, columns), np.float32) if to is None else to.reshape(-1, columns))


def divided(rows: int, columns: int, inner: int) -> int:
    """How many columns a tile of a product has: all, where rows make enough tiles."""
    share = max(count(columns * count(rows, ROWS), TILES), LEAST // (min(rows, ROWS) * inner), 1)
    return min(count(share, WIDTH), count(columns, WIDTH)) * WIDTH


def laid(w: Array) -> Array:
    """w [O,K] as `multiply` reads it: [P,K,W], valid until the next one."""
    O, K = w.shape  # noqa: E741
    panels = scratch("panels", (count(O, WIDTH), K, WIDTH), np.float32)
    _lay(len(panels), w, panels)
    return panels


def by_blas(x: Array, w: Array, b: Array | None, y: Array, sample: int) -> None:
    """The product for samples of so many rows. x [N sample,I], w [O,I], b [O], y [N sample,O]"""
    wide = divided(sample, *w.shape)
    blocks = [
        slice(n + some.start, n + some.stop)
        for n in range(0, len(x), sample)
        for some in parts(sample, ROWS)
    ]

    def work(tile: tuple[slice, slice]) -> None:
        some, outs = tile
        np.matmul(x[some], w[outs].T, out=y[some, outs])
        if b is not None:
            y[some, outs] += b[outs]

    each(work, [(some, outs) for outs in parts(len(w), wide) for some in blocks])


@Tiled
def _lay(w: Array, panels: Array, who: int, tile: int) -> None:
    """A panel of w. w [O,K], panels [P,K,W]"""
    lay(w[tile * WIDTH : (tile + 1) * WIDTH], panels[tile])


@Tiled
def _multiply(
    x: Array,
    panels: Array,
    bias: Array,
    to: Array,
    y: Array,
    rows: int,
    wide: int,
    who: int,
    tile: int,
) -> None:
    """Some rows and columns of y <- x w + bias + to.

    x [R,K], panels [P,K,W], bias [O], to [R,O] or [0,O], y [R,O]
    """
    blocks = -(-len(x) // rows)
    row, column = tile % blocks * rows, tile // blocks * wide
    some, outs = slice(row, row + rows), slice(column, column + wide)
    accumulate(x[some], panels[column // WIDTH :], y[some, outs], bias[outs])
    if len(to):
        add_to_rows(y[some, outs], to[some, outs], y[some, outs])


@Tiled
def _some_columns(
    x: Array,
    w: Array,
    bias: Array,
    to: Array,
    room: Array,
    y: Array,
    rows: int,
    who: int,
    tile: int,
) -> None:
    """Some columns of y, some of the inner axis at a time. room [threads,P,K,W]"""
    panels = room[who]
    wide, inner = WIDTH * len(panels), panels.shape[1]
    columns = slice(tile * wide, (tile + 1) * wide)
    factors, added = w[columns], bias[columns]
    for first in range(0, x.shape[1], inner):
        part = slice(first, min(first + inner, x.shape[1]))
        some = panels[:, : part.stop - first]
        for panel in range(-(-len(factors) // WIDTH)):
            lay(factors[panel * WIDTH : (panel + 1) * WIDTH, part], some[panel])
        for row in range(0, len(x), rows):
            left, sums = x[row : row + rows, part], y[row : row + rows, columns]
            if first == 0:
                accumulate(left, some, sums, added)
            else:
                accumulate(left, some, sums, None)
            if len(to) and part.stop == x.shape[1]:
                add_to_rows(sums, to[row : row + rows, columns], sums)


@Tiled
def _dots(
    x: Array, w: Array, b: Array, to: Array, y: Array, size: int, who: int, tile: int
) -> None:
    """Row by row, in lanes. x [R,I], w [O,I], b [O], to [R,O] or [0,O], y [R,O]"""
    R, I = x.shape  # noqa: E741
    whole = I - I % ABREAST
    sums = np.empty(ABREAST, np.float32)
    for o in range(tile * size, min((tile + 1) * size, len(w))):
        factors = w[o]
        for r in range(R):
            row = x[r]
            fill(sums, np.float32(0))
            for i in range(0, whole, ABREAST):
                some, times = row[i : i + ABREAST], factors[i : i + ABREAST]
                for lane in range(ABREAST):
                    sums[lane] += some[lane] * times[lane]
            for i in range(whole, I):
                sums[i - whole] += row[i] * factors[i]
            y[r, o] = total(sums) + b[o]
            if len(to):
                y[r, o] += to[r, o]
