"""Mistakes of activations: one taken for another, the halves of a gate, none at all."""

from collections.abc import Callable

import numpy as np

from refdiff import ops
from refdiff.op import Array
from refdiff.verify.mistakes.entry import family, mistake

Function = Callable[[Array], Array]
OTHERS: dict[str, Function] = {
    "gelu": ops.gelu.definition,
    "gelu-tanh": ops.gelu_tanh.definition,
    "quick-gelu": ops.quick_gelu.definition,
    "silu": ops.silu.definition,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "none": lambda x: x,
}
TITLES = {"gelu-tanh": "gelu by its tanh approximation", "none": "no activation"}

for op in ("silu", "gelu", "quick_gelu"):
    for kind, other in OTHERS.items():
        if kind != op.replace("_", "-"):
            title = f"{TITLES.get(kind, kind)} instead of {op}"

            @mistake(op, kind, title)
            def _(f: Function, x: Array, *, other: Function = other) -> Array:
                return other(x)


@family("silu", "steepness", "x sigmoid({value:.4g} x) instead of silu", 0.1, 10)
def _(silu: Function, x: Array, *, value: float) -> Array:
    return silu(value * x) / value


@mistake("geglu", "swapped", "the halves are swapped: gelu of the first gates the second")
def _(geglu: Function, x: Array) -> Array:
    return geglu(np.roll(x, x.shape[-1] // 2, -1))


@mistake("geglu", "interleaved", "even columns are gated by odd ones")
def _(geglu: Function, x: Array) -> Array:
    return geglu(np.concatenate([x[..., ::2], x[..., 1::2]], -1))


@mistake("geglu", "silu", "the gate is silu (SwiGLU)")
def _(geglu: Function, x: Array) -> Array:
    value, gate = np.split(x, 2, -1)
    return value * OTHERS["silu"](gate)


@mistake("geglu", "sigmoid", "the gate is a sigmoid (GLU)")
def _(geglu: Function, x: Array) -> Array:
    value, gate = np.split(x, 2, -1)
    return value * OTHERS["sigmoid"](gate)


@mistake("geglu", "no-gate", "gelu of the first half, ungated")
def _(geglu: Function, x: Array) -> Array:
    return ops.gelu(np.split(x, 2, -1)[0])
