"""Mistakes that need no model to be seen: the right values, scaled, shifted, out of order.

Each fit takes what a layer should give and what it gave, and says what would turn the one into the
other; how well it does is measured by whoever asks.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from refdiff.op import Array

KNOWN = {  # factors that people know by heart
    "0.18215, the scaling of Stable Diffusion's latents": 0.18215,
    "1/0.18215, the scaling of Stable Diffusion's latents undone": 1 / 0.18215,
    "0.13025, the scaling of SDXL's latents": 0.13025,
    "1/0.13025, the scaling of SDXL's latents undone": 1 / 0.13025,
    "sqrt(2)": np.sqrt(2),
    "1/sqrt(2)": np.sqrt(0.5),
    "2": 2.0,
    "1/2": 0.5,
    "-1": -1.0,
    "1/255": 1 / 255,
    "127.5": 127.5,
    "255": 255.0,
}


class Fit(NamedTuple):
    """A way from what is right to what was given, and where it leads."""

    id: str
    title: str
    y: Array


def fits(y: Array, given: Array) -> Iterator[Fit]:
    """Every fit that applies, the simplest first: y [*], given [*]"""
    for fit in FITS:
        yield from fit(y, given)


def scale(y: Array, given: Array) -> Iterator[Fit]:
    """given = a y, by least squares."""
    energy = float(np.vdot(y, y))
    if energy > 0:
        a = float(np.vdot(y, given)) / energy
        yield Fit("values/scale", f"scaled by {_named(a)}", a * y)


def offset(y: Array, given: Array) -> Iterator[Fit]:
    """given = y + b"""
    b = float(np.mean(given - y))
    yield Fit("values/offset", f"{b:+.6g} added", y + b)


def affine(y: Array, given: Array) -> Iterator[Fit]:
    """given = a y + b"""
    centred = y - y.mean()
    energy = float(np.vdot(centred, centred))
    if energy > 0:
        a = float(np.vdot(centred, given)) / energy
        b = float(np.mean(given) - a * np.mean(y))
        yield Fit("values/affine", f"scaled by {_named(a)}, {b:+.6g} added", a * y + b)


def moved(y: Array, given: Array) -> Iterator[Fit]:
    """The picture moved by up to two pixels, turned or mirrored: y [N,C,H,W]"""
    if y.ndim != 4:
        return
    for dy, dx in np.ndindex(5, 5):
        if (dy, dx) != (2, 2):
            title = f"moved by {dy - 2:+d} pixels down and {dx - 2:+d} to the right"
            yield Fit("values/moved", title, np.roll(y, (dy - 2, dx - 2), (2, 3)))
    yield Fit("values/mirrored", "left and right are swapped", y[..., ::-1])
    yield Fit("values/upside-down", "up and down are swapped", y[..., ::-1, :])
    if y.shape[2] == y.shape[3]:
        yield Fit("values/turned", "height and width are swapped", y.swapaxes(2, 3))


def reordered(y: Array, given: Array) -> Iterator[Fit]:
    """Samples, channels or tokens in another order."""
    names = {4: ("samples", "channels"), 3: ("samples", "tokens", "channels")}
    for axis, what in enumerate(names.get(y.ndim, ("samples",))):
        order = _order(y, given, axis)
        if order is not None:
            at = ", ".join(map(str, order[:8])) + (", ..." if len(order) > 8 else "")
            yield Fit(f"values/{what}-order", f"{what} are in the order {at}", y.take(order, axis))


def by_channel(y: Array, given: Array) -> Iterator[Fit]:
    """Each channel scaled and shifted by itself, as by a wrong norm: y [N,C,H,W] or [N,L,D]"""
    axis = {4: 1, 3: 2}.get(y.ndim)
    if axis is None or y.size < 8 * y.shape[axis]:
        return
    others = tuple(i for i in range(y.ndim) if i != axis)
    mean, target = y.mean(others, keepdims=True), given.mean(others, keepdims=True)
    energy = np.square(y - mean).sum(others, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = np.nan_to_num(((y - mean) * given).sum(others, keepdims=True) / energy)
    title = "each channel has a scale and a shift of its own"
    yield Fit("values/by-channel", title, a * (y - mean) + target)


def _order(y: Array, given: Array, axis: int) -> list[int] | None:
    """The permutation of y's slices along an axis that comes nearest to given's, if it is one."""
    ours, theirs = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (y, given))
    if not 2 <= len(ours) <= 4096 or ours.shape[1] < 2:
        return None
    strided = slice(None, None, max(1, ours.shape[1] // 512))
    ours, theirs = ours[:, strided], theirs[:, strided]
    squares = np.square(ours).sum(1)[None] - 2 * theirs @ ours.T
    order = squares.argmin(1).tolist()
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return None
    return order


def _named(a: float) -> str:
    for name, known in KNOWN.items():
        if abs(a / known - 1) < 1e-4:
            return name
    return f"{a:.6g}"


FITS: tuple[Callable[[Array, Array], Iterator[Fit]], ...] = (
    scale,
    offset,
    affine,
    moved,
    reordered,
    by_channel,
)
