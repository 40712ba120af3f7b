"""Winograd's transforms of pictures, filters and products, compiled once for all kernels."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refdiff.kernels.jit import native
from refdiff.kernels.panels import INDEX, NUMBERS, WIDTH, lay, panelled
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.points import SIDE, TAPS, TILE, evaluated, filtered, interpolated
from refdiff.kernels.squares import both_ways
from refdiff.kernels.vectors import at
from refdiff.op import Array


def enlarged(a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
    """`evaluated` of numbers each of which is there twice, from the second of the first on."""
    return evaluated(a, b, b, c, c, d)


of_pixels, square_of_pixels = both_ways(evaluated, SIDE, SIDE)
_, square_of_enlarged = both_ways(enlarged, SIDE - 2, SIDE)
of_filters, square_of_filters = both_ways(filtered, TAPS, SIDE, axes=(1, 2, 0))  # [T,3,3,n]
of_products, square_of_products = both_ways(interpolated, SIDE, TILE, biased=True)


def tiles_in(x: Array, times: int, first: int, across: int, top: int, left: int, v: Array) -> None:
    """Bᵀ d B of tiles `first` and on, `across` in a row. x [H,W,1,C], v [6,6,T,C]

    times: how often each pixel is repeated along both sides, 1, or 2 where top and left are 1.
    """
    H, W, _, C = x.shape
    H, W = times * H, times * W
    for t in range(v.shape[2]):
        row, column = TILE * ((first + t) // across) - top, TILE * ((first + t) % across) - left
        square = np.zeros((SIDE, SIDE, 1, C), np.float32)
        for i, j in np.ndindex(SIDE, SIDE):
            if 0 <= row + i < H and 0 <= column + j < W:
                square[i, j] = x[(row + i) // times, (column + j) // times]
        of_pixels(square, v[:, :, t : t + 1])


def filters_in(w: Array, first: int, room: Array, u: Array) -> None:
    """G g Gᵀ of input channels `first` and on, as a panel of a product.

    w [O,C 9], O <= W, room [c,3,3,W], u [6,6,c,W]
    """
    lay(w[:, first * TAPS * TAPS : (first + len(room)) * TAPS * TAPS], room)
    of_filters(room, u)


def tiles_out(m: Array, b: Array, first: int, across: int, y: Array, to: Array) -> None:
    """Aᵀ m A + b of tiles `first` and on. m [6,6,T,O], b [O], y [h,w,1,O]

    to: what is added, [hw,O], or [1,O] to all pixels, or nothing [0,O].
    """
    h, w, _, O = y.shape  # noqa: E741
    for t in range(m.shape[2]):
        row, column = TILE * ((first + t) // across), TILE * ((first + t) % across)
        square = np.empty((TILE, TILE, 1, O), np.float32)
        of_products(m[:, :, t : t + 1], square, b)
        some = y[row : row + TILE, column : column + TILE]
        some[...] = square[: len(some), : some.shape[1]]
        if len(to):
            added = np.broadcast_to(to, (h * w, O)).reshape(h, w, 1, O)
            some += added[row : row + TILE, column : column + TILE]


@native(*(NUMBERS, *(INDEX,) * 6), *(INDEX,) * 4, *(NUMBERS, *(INDEX,) * 4))
def pixels_to_tiles(
    x: Any,
    H: int,
    W: int,
    C: int,
    down: int,
    right: int,
    times: int,
    first: int,
    across: int,
    top: int,
    left: int,
    v: Any,
    tiles: int,
    deep: int,
    wide: int,
    on: int,
) -> None:
    """What `tiles_in` does, with matrices as where they start and their steps in numbers."""
    edge = np.empty(SIDE * SIDE * C, np.float32)
    H, W = times * H, times * W
    for t in range(tiles):
        row, column = TILE * ((first + t) // across) - top, TILE * ((first + t) % across) - left
        goal = at(v, t * on)
        if 0 <= row <= H - SIDE and 0 <= column <= W - SIDE:
            source = at(x, row // times * down + column // times * right)
            if times == 1:
                square_of_pixels(C, source, down, right, goal, deep, wide, source)
            else:
                square_of_enlarged(C, source, down, right, goal, deep, wide, source)
            continue
        for i in range(SIDE):
            for j in range(SIDE):
                number = (i * SIDE + j) * C
                if 0 <= row + i < H and 0 <= column + j < W:
                    pixel = at(x, (row + i) // times * down + (column + j) // times * right)
                    for c in range(C):
                        edge[number + c] = pixel[c]
                else:
                    for c in range(C):
                        edge[number + c] = 0
        square_of_pixels(C, edge.ctypes, SIDE * C, C, goal, deep, wide, edge.ctypes)


@native(*(NUMBERS, *(INDEX,) * 2), *(NUMBERS, INDEX), *(NUMBERS, *(INDEX,) * 3))
def filters_to_panel(
    w: Any, step: int, filters: int, room: Any, channels: int, u: Any, deep: int, wide: int, on: int
) -> None:
    """What `filters_in` does, with w from its first channel on."""
    panelled(w, step, filters, channels * TAPS * TAPS, room, WIDTH)
    for c in range(channels):
        taps = at(room, c * TAPS * TAPS * WIDTH)
        square_of_filters(WIDTH, taps, TAPS * WIDTH, WIDTH, at(u, c * on), deep, wide, taps)


@native(
    *(NUMBERS, *(INDEX,) * 4),
    NUMBERS,
    *(INDEX,) * 2,
    *(NUMBERS, *(INDEX,) * 5),
    NUMBERS,
    INDEX,
    INDEX,
)
def tiles_to_pixels(
    m: Any,
    tiles: int,
    deep: int,
    wide: int,
    on: int,
    b: Any,
    first: int,
    across: int,
    y: Any,
    h: int,
    w: int,
    O: int,  # noqa: E741
    down: int,
    right: int,
    to: Any,
    rows: int,
    step: int,
) -> None:
    """What `tiles_out` does, with a row of `to` for each pixel, one for all, or none."""
    apart = step if rows > 1 else 0
    edge = np.empty(TILE * TILE * O, np.float32)
    for t in range(tiles):
        row, column = TILE * ((first + t) // across), TILE * ((first + t) % across)
        source, goal = at(m, t * on), at(y, row * down + column * right)
        if row <= h - TILE and column <= w - TILE:
            square_of_products(O, source, deep, wide, goal, down, right, b)
        else:
            square_of_products(O, source, deep, wide, edge.ctypes, TILE * O, O, b)
            for i in range(min(TILE, h - row)):
                for j in range(min(TILE, w - column)):
                    pixel, number = at(goal, i * down + j * right), (i * TILE + j) * O
                    for o in range(O):
                        pixel[o] = edge[number + o]
        for i in range(min(TILE, h - row) if rows else 0):
            for j in range(min(TILE, w - column)):
                pixel = at(goal, i * down + j * right)
                more = at(to, ((row + i) * w + column + j) * apart)
                for o in range(O):
                    pixel[o] += more[o]


@compiled_as(tiles_in)
def _tiles_in(
    x: Any, times: Any, first: Any, across: Any, top: Any, left: Any, v: Any
) -> Callable[..., None]:
    def tiles_in(x: Any, times: Any, first: Any, across: Any, top: Any, left: Any, v: Any) -> None:
        H, W, _, C = x.shape
        down, right = x.strides[0] // 4, x.strides[1] // 4
        deep, wide, on = v.strides[0] // 4, v.strides[1] // 4, v.strides[2] // 4
        where, goal = (first, across, top, left), (v.shape[2], deep, wide, on)
        pixels_to_tiles(x.ctypes, H, W, C, down, right, times, *where, v.ctypes, *goal)

    return tiles_in


@compiled_as(filters_in)
def _filters_in(w: Any, first: Any, room: Any, u: Any) -> Callable[..., None]:
    def filters_in(w: Any, first: Any, room: Any, u: Any) -> None:
        goal = u.strides[0] // 4, u.strides[1] // 4, u.strides[2] // 4
        start, step = at(w.ctypes, first * TAPS * TAPS), w.strides[0] // 4
        filters_to_panel(start, step, len(w), room.ctypes, len(room), u.ctypes, *goal)

    return filters_in


@compiled_as(tiles_out)
def _tiles_out(m: Any, b: Any, first: Any, across: Any, y: Any, to: Any) -> Callable[..., None]:
    def tiles_out(m: Any, b: Any, first: Any, across: Any, y: Any, to: Any) -> None:
        h, w, _, O = y.shape  # noqa: E741
        source = m.shape[2], m.strides[0] // 4, m.strides[1] // 4, m.strides[2] // 4
        goal = h, w, O, y.strides[0] // 4, y.strides[1] // 4
        more = len(to), to.strides[0] // 4
        tiles_to_pixels(
            m.ctypes, *source, b.ctypes, first, across, y.ctypes, *goal, to.ctypes, *more
        )

    return tiles_out
