"""Sums and maxima by lanes: several side by side, which vector units take at once."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.jit import inlined
from refdiff.kernels.panels import INT, PLACE, VECTOR
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.vectors import spread
from refdiff.op import Array

ABREAST = 64  # numbers summed side by side: several vectors of them
LOWEST = np.float32(-np.inf)


@inlined
def fill(x: Array, value: Any) -> None:
    """x <- value. x [n]"""
    for i in range(len(x)):
        x[i] = value


@inlined
def copy(x: Array, y: Array) -> None:
    """y <- x. x [n], y [n]"""
    for i in range(len(y)):
        y[i] = x[i]


@inlined
def summed(x: Array) -> float:
    """The sum of x [n], one number after the other."""
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total


@inlined
def total(x: Array) -> Any:
    """The sum of x [ABREAST], one half on the other until one number is left."""
    half = ABREAST // 2
    while half:
        for i in range(half):
            x[i] += x[i + half]
        half //= 2
    return x[0]


def largest(x: Array) -> Any:
    """The largest of x [n], n a multiple of ABREAST, among what is not nan; or -inf."""
    return np.fmax.reduce(x, initial=LOWEST)


@compiled_as(largest)
def _largest_of(x: Any) -> Callable[..., Any]:
    def largest(x: Any) -> Any:
        return _largest(x, len(x))  # type: ignore[call-arg]

    return largest


def passed(
    context: Any, builder: Any, array: Any, args: Any, kind: Any, places: list[Any]
) -> Iterator[Any]:
    """Where vectors of an array are that args begin with, and what place each goes to."""
    start = cgutils.create_struct_proxy(array)(context, builder, args[0]).data
    with cgutils.for_range_slice(builder, INT(0), args[1], INT(ABREAST), INT) as (k, _):
        for j, place in enumerate(places):
            some = builder.gep(start, [builder.add(k, INT(j * kind.count))])
            yield builder.bitcast(some, kind.as_pointer()), place


def one_of(builder: Any, join: Callable[..., Any], places: list[Any]) -> Any:
    """All vectors joined, and one half with the other until one number is left."""
    joined = reduce(join, map(builder.load, places))
    half = joined.type.count // 2
    while half:
        kind = ir.VectorType(PLACE, half)
        joined = join(
            *(
                builder.shuffle_vector(
                    joined, joined, ir.Constant(kind, list(range(first, first + half)))
                )
                for first in (0, half)
            )
        )
        half //= 2
    return builder.extract_element(joined, PLACE(0))


@intrinsic
def _largest(typing: Any, x: Any, n: Any) -> Any:
    """In vectors, which the compiler does not make of comparing and choosing by itself."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lowest = ir.Constant(VECTOR, [float(LOWEST)] * VECTOR.count)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        tops = [cgutils.alloca_once_value(builder, lowest) for _ in range(ABREAST // VECTOR.count)]
        for some, top in passed(context, builder, signature.args[0], args, VECTOR, tops):
            builder.store(larger(builder.load(some, align=4), builder.load(top)), top)
        return one_of(builder, larger, tops)

    return types.float32(x, types.int64), code


def deviations(x: Array, middle: Any) -> tuple[Any, Any]:
    """The sums of x - middle and of its squares. x [n], n a multiple of ABREAST"""
    d = x - middle
    return d.sum(), (d * d).sum()


@compiled_as(deviations)
def _deviations_of(x: Any, middle: Any) -> Callable[..., Any]:
    def deviations(x: Any, middle: Any) -> Any:
        return _deviations(x, len(x), middle)  # type: ignore[call-arg]

    return deviations


@intrinsic
def _deviations(typing: Any, x: Any, n: Any, middle: Any) -> Any:
    """In vectors, which the compiler does not make of sums, whose order it must keep."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = context.get_value_type(x.dtype)
        kind = ir.VectorType(number, VECTOR.count)
        zero = ir.Constant(kind, [0.0] * kind.count)
        around = spread(builder, args[2], kind.count)
        sums, squares = (
            [cgutils.alloca_once_value(builder, zero) for _ in range(ABREAST // kind.count)]
            for _ in range(2)
        )
        places = list(zip(sums, squares, strict=True))
        for some, (total, square) in passed(context, builder, x, args, kind, places):
            d = builder.fsub(builder.load(some, align=4), around)
            builder.store(builder.fadd(builder.load(total), d), total)
            builder.store(builder.fadd(builder.load(square), builder.fmul(d, d)), square)
        both = [one_of(builder, builder.fadd, places) for places in (sums, squares)]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(x.dtype, 2)(x, types.int64, x.dtype), code
