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
from numba.extending import intrinsic

from refdiff.kernels.jit import native
from refdiff.kernels.panels import INDEX, INT, NUMBERS
from refdiff.kernels.vectors import in_vectors, vector
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
    formula: Formula,
    taken: int,
    made: int,
    axes: tuple[int, int, int] = (0, 1, 2),
    biased: bool = False,
) -> tuple[Callable[..., None], Any]:
    """(x, y) or, biased, (x, y, b): y <- F x Fᵀ + b. And compiled once for all kernels one square.

    x [taken,taken,T,n], y [made,made,T,n], b [n]; axes: where x has its rows, columns and squares,
    if elsewhere.
    """

    def transform(x: Array, y: Array, b: Array | None = None) -> None:
        columns = np.stack(formula(*x.transpose(*axes, 3)))
        y[...] = np.stack(formula(*columns.swapaxes(0, 1)), 1)
        if b is not None:
            y += b

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        n, source, down, across, goal, deep, wide, *b = args

        def on(start: Any, *steps: tuple[int, Any]) -> Any:
            for count, step in steps:
                start = builder.gep(start, [builder.mul(INT(count), step)])
            return start

        for k, size in in_vectors(builder, n):

            def given(start: Any, k: Any = k, size: int = size) -> Value:
                place = vector(builder, builder.gep(start, [k]), size)
                return Value(builder, builder.load(place, align=4))

            columns = [
                formula(*(given(on(source, (i, down), (j, across))) for i in range(taken)))
                for j in range(taken)
            ]
            for i, row in enumerate(zip(*columns, strict=True)):
                for j, number in enumerate(formula(*row)):
                    place = builder.gep(on(goal, (i, deep), (j, wide)), [k])
                    result = sum(map(given, b[:biased]), number)
                    builder.store(result.value, vector(builder, place, size), align=4)
        return context.get_dummy_value()

    square = INDEX, NUMBERS, INDEX, INDEX, NUMBERS, INDEX, INDEX, NUMBERS

    @intrinsic
    def emitted(
        typing: Any, n: Any, x: Any, down: Any, across: Any, y: Any, deep: Any, wide: Any, b: Any
    ) -> Any:
        return types.void(*square), code

    def one(n: int, x: Any, down: int, across: int, y: Any, deep: int, wide: int, b: Any) -> None:
        emitted(n, x, down, across, y, deep, wide, b)  # type: ignore[call-arg]

    one.__name__ = one.__qualname__ = f"square.{formula.__name__}"
    return transform, native(*square)(one)
