"""Squares of numbers transformed along both sides, for many channels at once, in vectors.

    y = F x Fᵀ + b

A matrix F is a formula of points.py: what a formula does to numbers it does to the compiler's
values too, so that its text is where the machine code comes from.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from refdiff.kernels.panels import INT
from refdiff.kernels.vectors import in_vectors, opened, vector
from refdiff.op import Array

Formula = Callable[..., tuple[Any, ...]]


class Value:
    """A number, or a vector, of the code that is being made."""

    __array_ufunc__ = None  # constants of NumPy leave it to what they are multiplied with

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _with(self, make: str, other: Any) -> "Value":
        kind = self.value.type
        if isinstance(other, Value):
            second = other.value
        elif isinstance(kind, ir.VectorType):
            second = ir.Constant(kind, [float(other)] * kind.count)
        else:
            second = ir.Constant(kind, float(other))
        return Value(self.builder, getattr(self.builder, make)(self.value, second))

    def __add__(self, other: Any) -> "Value":
        return self._with("fadd", other)

    def __sub__(self, other: Any) -> "Value":
        return self._with("fsub", other)

    def __mul__(self, other: Any) -> "Value":
        return self._with("fmul", other)

    __rmul__ = __mul__


def both_ways(
    formula: Formula, taken: int, made: int, axes: tuple[int, int, int] = (0, 1, 2)
) -> Callable[[Array, Array, Any], None]:
    """(x, y, b): y <- F x Fᵀ + b. x [taken,taken,T,n], y [made,made,T,n], b [n] or None

    axes: where x has its rows, columns and squares, if elsewhere; transposed by compiled code it
    would take seconds to compile.
    """

    def transform(x: Array, y: Array, b: Array | None) -> None:
        columns = np.stack(formula(*x.transpose(*axes, 3)))
        y[...] = np.stack(formula(*columns.swapaxes(0, 1)), 1)
        if b is not None:
            y += b

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [
            opened(context, builder, kind, value)
            for kind, value in zip(signature.args, args, strict=True)
            if not isinstance(kind, types.NoneType)
        ]
        (x, shape, steps), (y, _, (deep, wide, forth, _)), *bias = arrays
        down, across, onward = (steps[axis] for axis in axes)
        squares, n = shape[axes[2]], shape[3]

        def on(start: Any, *steps: tuple[Any, Any]) -> Any:
            for count, step in steps:
                start = builder.gep(start, [builder.mul(count, step)])
            return start

        def chunk(k: Any, square: Any, size: int) -> None:
            def given(start: Any) -> Value:
                place = vector(builder, builder.gep(start, [k]), size)
                return Value(builder, builder.load(place, align=4))

            source, goal = on(x, (square, onward)), on(y, (square, forth))
            columns = [
                formula(
                    *(given(on(source, (INT(i), down), (INT(j), across))) for i in range(taken))
                )
                for j in range(taken)
            ]
            for i, row in enumerate(zip(*columns, strict=True)):
                for j, number in enumerate(formula(*row)):
                    place = builder.gep(on(goal, (INT(i), deep), (INT(j), wide)), [k])
                    result = sum((given(b) for b, _, _ in bias), number)
                    builder.store(result.value, vector(builder, place, size), align=4)

        with cgutils.for_range(builder, squares) as square:
            for k, size in in_vectors(builder, n):
                chunk(k, square.index, size)
        return context.get_dummy_value()

    @intrinsic
    def emitted(typing: Any, x: Any, y: Any, b: Any) -> Any:
        return types.void(x, y, b), code

    @overload(transform)
    def compiled(x: Any, y: Any, b: Any) -> Callable[..., None]:
        def transform(x: Any, y: Any, b: Any) -> None:
            emitted(x, y, b)  # type: ignore[call-arg]

        return transform

    return transform
