"""Vectors of single ops: shapes that tell axes apart, values that tell formulas apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from refdiff.op import REGISTRY, Array
from refdiff.verify.kit.op_vector import at
from refdiff.verify.kit.sum_vectors import (
    attention,
    conv2d,
    group_norm,
    layer_norm,
    linear,
    softmax,
)
from refdiff.verify.kit.vector import Draw, Vector, Vectors, numbers

GRID = numbers(np.linspace(-6, 6, 97))


def op_vectors() -> Vectors:
    """All of them, in the order of the registry."""
    for op in REGISTRY:
        yield from MAKERS[op](op)


def elementwise(op: str) -> Vectors:
    draw = Draw(op)
    picture = draw.normal(2, 3, 5, 7, scale=2)
    yield at(op, "grid", {"x": GRID}, "across-the-bend")
    yield at(op, "bend", {"x": numbers(np.linspace(1, 4, 61))}, "erf-or-tanh")
    tails = np.array([3, 5, 7, 10, 20, 40, 88])
    yield at(op, "tails", {"x": numbers(np.concatenate([-tails, tails]))}, "large-values")
    yield at(op, "small", {"x": draw.normal(2, 3, 5, scale=2.0**-6)}, "near-zero")
    yield at(op, "picture", {"x": picture}, "batch", "H!=W")
    yield at(op, "tokens", {"x": draw.normal(2, 7, 12)}, "batch")


def gated(op: str) -> Vectors:
    draw = Draw(op)
    gates = np.stack([np.roll(GRID, 40) / 2, GRID], -1)
    yield at(op, "grid", {"x": numbers(gates)}, "across-the-bend", "width-1")
    yield at(op, "tokens", {"x": draw.normal(2, 7, 12)}, "batch", "which-half")
    yield at(op, "wide", {"x": draw.normal(2, 3, 64)}, "which-half")
    yield at(op, "large", {"x": draw.normal(3, 10, scale=6)}, "large-values")
    yield at(op, "row", {"x": draw.normal(14, scale=2)}, "one-axis")
    yield at(op, "odd", {"x": draw.normal(2, 5, 6, scale=2)}, "odd-half")


def add(op: str) -> Vectors:
    draw = Draw(op)

    def pair(*shapes: tuple[int, ...], scale: float = 1.0) -> dict[str, Array]:
        return {"x": draw.normal(*shapes[0]), "y": draw.normal(*shapes[-1], scale=scale)}

    yield at(op, "picture", pair((2, 3, 5, 7)), "batch", "H!=W")
    yield at(op, "time", pair((2, 3, 5, 7), (2, 3, 1, 1)), "broadcast", "batch")
    yield at(op, "places", pair((2, 7, 12), (1, 7, 12)), "broadcast")
    yield at(op, "tokens", pair((2, 7, 12)), "batch")
    yield at(op, "cancels", {"x": GRID, "y": numbers(-GRID + GRID[::-1] / 64)}, "cancellation")
    yield at(op, "unequal", pair((2, 3, 5, 7), scale=2.0**-7), "small-beside-large")


def embedding(op: str) -> Vectors:
    draw = Draw(op)

    def e(which: str, ids: Any, rows: int, width: int, *flags: str) -> Vector:
        given = {"ids": np.array(ids, np.int64), "table": draw.normal(rows, width)}
        return at(op, which, given, *flags)

    yield e("tokens", [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], 20, 6, "batch", "repeated")
    yield e("ends", [[0, 19], [19, 0]], 20, 6, "first-and-last")
    yield e("places", [[0, 1, 2, 3, 4, 5, 6]], 7, 5, "in-order")
    yield e("one", [[7]], 9, 4, "one-id")
    yield e("row", [2, 0, 1], 4, 3, "one-axis")
    yield e("wide", [[2, 0, 1]], 4, 64, "wide")


def timestep_embedding(op: str) -> Vectors:
    times = np.array([0, 1, 500, 981, 999], np.int64)
    between = numbers(np.array([0.5, 1.5, 27.75, 100.5]))

    def w(which: str, width: int, *flags: str, t: Array = times, **options: Any) -> Vector:
        return at(op, which, {"t": t, "width": width}, *flags, **options)

    yield w("cosines-first", 12, "order", flip_sin_to_cos=True, freq_shift=0.0)
    yield w("sines-first", 12, "order", flip_sin_to_cos=False, freq_shift=0.0)
    yield w("shifted", 12, "freq-shift", flip_sin_to_cos=False, freq_shift=1.0)
    yield w("odd", 13, "odd-width", flip_sin_to_cos=True, freq_shift=0.0)
    yield w("period", 12, "max-period", max_period=100.0)
    yield replace(w("between", 12, "fractions-of-t", t=between), bounded=False)
    yield w("full-width", 320, "wide", flip_sin_to_cos=True, freq_shift=0.0)


def upsample_nearest(op: str) -> Vectors:
    draw = Draw(op)

    def u(which: str, *shape: int, size: tuple[int, int] | None = None) -> Vector:
        return at(op, which, {"x": draw.normal(*shape)}, which, size=size)

    yield u("twice", 2, 3, 5, 7)
    yield u("odd-size", 2, 3, 5, 7, size=(9, 13))
    yield u("odd-height", 2, 3, 5, 7, size=(9, 14))
    yield u("one-pixel", 2, 3, 1, 1)
    yield u("one-row", 2, 3, 1, 6)
    yield u("tall", 1, 2, 9, 2)


def concat(op: str) -> Vectors:
    draw = Draw(op)

    def c(which: str, *shapes: tuple[int, ...], axis: int = 1) -> Vector:
        arrays = (draw.normal(*shape) for shape in shapes)
        return at(op, which, dict(zip("xyz", arrays, strict=False)), which, axis=axis)

    yield c("skip", (2, 3, 5, 7), (2, 4, 5, 7))
    yield c("same-width", (2, 3, 5, 7), (2, 3, 5, 7))
    yield c("one-channel", (2, 1, 5, 7), (2, 6, 5, 7))
    yield c("batch", (1, 3, 5, 7), (2, 3, 5, 7), axis=0)
    yield c("last-axis", (2, 7, 5), (2, 7, 4), axis=-1)
    yield c("three", (2, 3, 5, 7), (2, 4, 5, 7), (2, 2, 5, 7))


MAKERS: dict[str, Callable[[str], Vectors]] = {
    **dict.fromkeys(("silu", "gelu", "gelu_tanh", "quick_gelu"), elementwise),
    "add": add,
    "attention": attention,
    "concat": concat,
    "conv2d": conv2d,
    "embedding": embedding,
    "geglu": gated,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "softmax": softmax,
    "timestep_embedding": timestep_embedding,
    "upsample_nearest": upsample_nearest,
}
