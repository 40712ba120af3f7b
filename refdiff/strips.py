"""Pictures too large to be held: some of their rows are computed whenever they are asked for.

While `by_strips` stands around the ops, a large normalised, activated, enlarged or convolved
picture stays unmade: it is what computes its rows, from those of the picture that it comes of. A
norm looks at all rows once, for the moments of its groups; a sum is made. Ops see every row as
they would in the whole picture, rows begin where Winograd's tiles do, and moments are those of the
same blocks: so the result has the same bits where blocks of the norm end with strips, and where one
row has enough tiles for Winograd (13 pixels). Elsewhere the last place of a float32 may differ.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refdiff import kernels
from refdiff.op import Array, Op
from refdiff.ops.conv2d import sides

LARGE = 1 << 25  # numbers of a picture, from which it is not made
STRIP = 1 << 21  # numbers of a strip, about
TILE = 4  # rows of Winograd's tiles, which are computed together anyway
Rows = Callable[[int, int], Array]


class Unmade:
    """A picture [N,C,H,W] by its rows: rows(first, last) -> [N,C,last-first,W]"""

    ndim = 4

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Rows) -> None:
        self.shape, self.dtype, self.rows = shape, dtype, rows

    def __len__(self) -> int:
        return self.shape[0]


def by_strips(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Any:
    """What stands around an op (`op.around`): its rule here, or the op on what is made."""
    rule = RULES.get(op.name)
    if rule is not None and args[0].ndim == 4:
        unmade = rule(compute, *args, **options)
        if unmade is not None and large(unmade.shape) and op.name != "add":
            return unmade
        if unmade is not None and any(isinstance(a, Unmade) for a in args):
            return made(unmade)
    return compute(*map(made, args), **options)


def large(shape: tuple[int, ...]) -> bool:
    return math.prod(shape) >= LARGE


def rows_of(x: Any, first: int, last: int) -> Array:
    """Those of a picture, made or not."""
    rows: Array = x.rows(first, last) if isinstance(x, Unmade) else x[:, :, first:last]
    return rows


def strips(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """All rows of a picture, some at a time: (first, last)"""
    N, C, H, W = shape
    step = max(STRIP // (N * C * W) // TILE, 1) * TILE
    for first in range(0, H, step):
        yield first, min(first + step, H)


def made(x: Any) -> Any:
    """The picture itself, with its channels innermost."""
    if not isinstance(x, Unmade):
        return x
    N, C, H, W = x.shape
    y = np.moveaxis(np.empty((N, H, W, C), x.dtype), -1, 1)
    for first, last in strips(x.shape):
        y[:, :, first:last] = x.rows(first, last)
    return y


def upsample_nearest(compute: Any, x: Any, *, size: tuple[int, int] | None = None) -> Any:
    """Twice as large; other sizes are made."""
    N, C, H, W = x.shape
    if size is not None and size != (2 * H, 2 * W):
        return None

    def rows(first: int, last: int) -> Array:
        above = first // 2
        enlarged = compute(rows_of(x, above, -(-last // 2)))
        return enlarged[:, :, first - 2 * above : last - 2 * above]

    return Unmade((N, C, 2 * H, 2 * W), x.dtype, rows)


def group_norm(compute: Any, x: Any, gamma: Array, beta: Array, *, groups: int, eps: float) -> Any:
    """Moments of all rows first, then any rows."""
    norm = kernels.norm
    if not large(x.shape) or x.shape[1] % groups:
        return None
    blocks = [
        norm.moments_of_blocks(norm.flat(rows_of(x, *some)), groups) for some in strips(x.shape)
    ]
    moments = np.concatenate(blocks, 1)

    def rows(first: int, last: int) -> Array:
        some = rows_of(x, first, last)
        pixels = norm.normalised(norm.flat(some), moments, gamma, beta, eps)
        return kernels.pixels.by_channel(pixels.reshape(len(some), *some.shape[2:], -1))

    return Unmade(x.shape, x.dtype, rows)


def silu(compute: Any, x: Any) -> Any:
    """Any rows by themselves."""
    return Unmade(x.shape, x.dtype, lambda first, last: compute(rows_of(x, first, last)))


def conv2d(compute: Any, x: Any, w: Array, b: Array | None = None, **options: Any) -> Any:
    """Rows of the size of the picture, of those and the rows around them, which tiles begin."""
    padding, around = sides(options.pop("padding", 0)), w.shape[2] // 2
    same = padding == (around,) * 4 and w.shape[2] == w.shape[3] and w.shape[2] % 2
    if not same or any(options.get(name, 1) != 1 for name in ("stride", "dilation", "groups")):
        return None
    N, _, H, W = x.shape

    def rows(first: int, last: int) -> Array:
        top = first // TILE * TILE
        bottom = min(-(-last // TILE) * TILE, H)
        above, below = max(top - around, 0), min(bottom + around, H)
        zeros = above - (top - around), bottom + around - below, around, around
        y = compute(rows_of(x, above, below), w, b, padding=zeros)
        return y[:, :, first - top : last - top]

    return Unmade((N, len(w), H, W), x.dtype, rows)


def add(compute: Any, x: Any, y: Any) -> Any:
    """The sum of two pictures is made, row by row where one of them is not."""
    if not isinstance(x, Unmade) and not isinstance(y, Unmade):
        return None
    return Unmade(x.shape, x.dtype, lambda *some: compute(rows_of(x, *some), rows_of(y, *some)))


RULES: dict[str, Callable[..., Any]] = {
    "upsample_nearest": upsample_nearest,
    "group_norm": group_norm,
    "silu": silu,
    "conv2d": conv2d,
    "add": add,
}
