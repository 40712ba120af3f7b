"""Mistakes of what is added, laid side by side, enlarged, looked up, and of the time's waves."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refdiff.op import Array
from refdiff.verify.mistakes.entry import family, mistake

Add = Callable[[Array, Array], Array]
Op = Callable[..., Array]


@mistake(
    "add", "second-lost", "what is to be added (a residual branch, a time, a place) is left out"
)
def _(add: Add, x: Array, y: Array) -> Array:
    return x


@mistake("add", "first-lost", "the skip connection is left out")
def _(add: Add, x: Array, y: Array) -> Array:
    return np.broadcast_to(y, x.shape)


@mistake("add", "subtracted", "subtracted instead of added")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, -y)


@mistake("add", "root-of-half", "the sum is divided by sqrt(2)")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, y) / np.sqrt(2)


@mistake("add", "halved", "the sum is halved")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, y) / 2


@mistake("add", "twice", "the second is added twice")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, 2 * y)


@mistake("add", "turned", "pixels are read column by column: height and width are swapped")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, y.reshape(*y.shape[:2], *y.shape[:1:-1]).swapaxes(2, 3))


@mistake("add", "next-sample", "the second is the next sample's")
def _(add: Add, x: Array, y: Array) -> Array:
    return add(x, np.roll(y, 1, 0))


@mistake("concat", "swapped", "the skip is laid before the features, not behind them")
def _(concat: Op, x: Array, *others: Array, **options: Any) -> Array:
    return concat(*others[::-1], x, **options)


@mistake("concat", "skip-lost", "the skip is zeros")
def _(concat: Op, x: Array, *others: Array, **options: Any) -> Array:
    return concat(x, *map(np.zeros_like, others), **options)


@mistake("upsample_nearest", "bilinear", "bilinear instead of nearest")
def _(upsample: Op, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    H, W = x.shape[2:]
    h, w = size or (2 * H, 2 * W)
    rows, columns = _between(H, h), _between(W, w)
    return np.einsum("hi,nciw,vw->nchv", rows, x, columns)


@mistake("upsample_nearest", "corners", "bilinear with aligned corners instead of nearest")
def _(upsample: Op, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    H, W = x.shape[2:]
    h, w = size or (2 * H, 2 * W)
    rows, columns = _between(H, h, corners=True), _between(W, w, corners=True)
    return np.einsum("hi,nciw,vw->nchv", rows, x, columns)


def _between(n: int, m: int, corners: bool = False) -> NDArray[np.float64]:
    """The weights of n pixels in each of m between them: -> [m,n]"""
    places = (np.arange(m) + 0.5) * n / m - 0.5
    if corners:
        places = np.linspace(0, n - 1, m)
    return np.maximum(0, 1 - np.abs(places.clip(0, n - 1)[:, None] - np.arange(n)))


@mistake("upsample_nearest", "tiled", "the picture is tiled, not its pixels repeated")
def _(upsample: Op, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    y = upsample(x, size=size)
    rows, columns = (np.arange(m) % n for m, n in zip(y.shape[2:], x.shape[2:], strict=True))
    return x[:, :, rows[:, None], columns]


@mistake("upsample_nearest", "zeros", "zeros between the pixels, not copies of them")
def _(upsample: Op, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    y = np.zeros_like(upsample(x, size=size))
    y[:, :, ::2, ::2] = x[:, :, : (y.shape[2] + 1) // 2, : (y.shape[3] + 1) // 2]
    return y


@mistake("embedding", "next-row", "every id is one too high")
def _(embedding: Op, ids: Array, table: Array) -> Array:
    return embedding((ids + 1) % len(table), table)


@mistake("embedding", "row-before", "every id is one too low")
def _(embedding: Op, ids: Array, table: Array) -> Array:
    return embedding((ids - 1) % len(table), table)


@mistake("timestep_embedding", "flipped", "sines and cosines are swapped")
def _(waves: Op, t: Array, width: int, *, flip_sin_to_cos: bool = True, **o: Any) -> Array:
    return waves(t, width, flip_sin_to_cos=not flip_sin_to_cos, **o)


@mistake("timestep_embedding", "freq-shift", "freq_shift is 1 for 0, or 0 for 1")
def _(waves: Op, t: Array, width: int, *, freq_shift: float = 0.0, **o: Any) -> Array:
    return waves(t, width, freq_shift=1.0 - freq_shift, **o)


@mistake("timestep_embedding", "interleaved", "sines and cosines take turns")
def _(waves: Op, t: Array, width: int, **o: Any) -> Array:
    y = waves(t, width, **o)
    half = width // 2
    y[:, : 2 * half] = np.stack([y[:, :half], y[:, half : 2 * half]], -1).reshape(len(y), -1)
    return y


@family("timestep_embedding", "max-period", "the longest period is {value:.6g}", 10.0, 1e7)
def _(waves: Op, t: Array, width: int, *, value: float, max_period: float = 1e4, **o: Any) -> Array:
    return waves(t, width, max_period=value, **o)


for shift in (-1, 1):

    @mistake(
        "timestep_embedding",
        f"t{shift:+d}",
        f"the time is one too {'high' if shift > 0 else 'low'}",
    )
    def _(waves: Op, t: Array, width: int, *, _shift: int = shift, **o: Any) -> Array:
        return waves(np.asarray(t) + _shift, width, **o)


@mistake("timestep_embedding", "of-one", "the time runs from 0 to 1, not to 1000")
def _(waves: Op, t: Array, width: int, **o: Any) -> Array:
    return waves(np.asarray(t) / 1000, width, **o)


@mistake("timestep_embedding", "whole", "the time is truncated to a whole number")
def _(waves: Op, t: Array, width: int, **o: Any) -> Array:
    return waves(np.trunc(t), width, **o)


@mistake("timestep_embedding", "first-only", "every sample has the first one's time")
def _(waves: Op, t: Array, width: int, **o: Any) -> Array:
    return waves(np.broadcast_to(np.asarray(t)[:1], np.shape(t)), width, **o)
