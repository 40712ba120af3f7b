"""Sums and maxima by lanes: several side by side, which vector units take at once."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from refdiff.kernels.jit import inlined
from refdiff.kernels.panels import INT, PLACE, VECTOR
from refdiff.op import Array

LANES = 64
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
def total(x: Array) -> Any:
    """The sum of x [LANES], one half on the other until one number is left."""
    half = LANES // 2
    while half:
        for i in range(half):
            x[i] += x[i + half]
        half //= 2
    return x[0]


def largest(x: Array) -> Any:
    """The largest of x [n], n a multiple of LANES, among what is not nan; or -inf."""
    return np.fmax.reduce(x, initial=LOWEST)


@overload(largest)
def _largest_of(x: Any) -> Callable[..., Any]:
    def largest(x: Any) -> Any:
        return _largest(x, len(x))  # type: ignore[call-arg]

    return largest


@intrinsic
def _largest(typing: Any, x: Any, n: Any) -> Any:
    """In vectors, which the compiler does not make of comparing and choosing by itself."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0])  # type: ignore[no-untyped-call]
        lowest = ir.Constant(VECTOR, [float(LOWEST)] * VECTOR.count)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        tops = [cgutils.alloca_once_value(builder, lowest) for _ in range(LANES // VECTOR.count)]  # type: ignore[no-untyped-call]
        with cgutils.for_range_slice(builder, INT(0), args[1], INT(LANES), INT) as (k, _):
            for j, top in enumerate(tops):
                place = builder.gep(array.data, [builder.add(k, INT(j * VECTOR.count))])
                some = builder.load(builder.bitcast(place, VECTOR.as_pointer()), align=4)
                builder.store(larger(some, builder.load(top)), top)
        joined = reduce(larger, map(builder.load, tops))
        numbers = (builder.extract_element(joined, PLACE(j)) for j in range(VECTOR.count))
        return reduce(larger, numbers)

    return types.float32(x, types.int64), code
