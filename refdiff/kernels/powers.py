"""Powers of two of what is not above 0, in float32 and in vectors.

    k = rint(x),  r = x - k,  2^x = 2^k (1 + r p(r)),  |r| <= 1/2

p is of degree 5, interpolated at Chebyshev's points: 2^x is off by at most 1.3 units of roundoff.
Adding 1.5 x 2^23 rounds to a whole number and leaves it in the last bits, from where it is added
to the exponent.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.exponential import times_power
from refdiff.kernels.fma import multiply_add
from refdiff.kernels.lanes import ABREAST, one_of, passed
from refdiff.kernels.panels import VECTOR
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.vectors import constant, spread
from refdiff.op import Array

OF_E = float(1 / np.log(2))  # e is 2 to this
ROUND = 1.5 * 2**23
P = 0.6931472, 0.2402265, 0.05550357, 0.009618083, 0.0013390863, 0.00015453163
LEAST = -126.0  # 2 to less than this is no normal number, and becomes 0


def power(x: Any) -> Any:
    """2^x. x [] in float32"""
    return np.exp2(x)


def powers(x: Array, top: Any) -> Any:
    """x <- 2^(x - top), and their sum. x [n], n a multiple of ABREAST"""
    x[...] = np.exp2(x - top)
    return x.sum()


def _power(builder: Any, x: Any) -> Any:
    """The instructions, for a number or a vector."""
    shifted = builder.fadd(x, constant(x.type, ROUND))
    r = builder.fsub(x, builder.fsub(shifted, constant(x.type, ROUND)))
    y = constant(x.type, P[-1])
    for coefficient in (*P[-2::-1], 1.0):
        y = multiply_add(builder, y, r, constant(x.type, coefficient))
    lost = builder.fcmp_ordered("<", x, constant(x.type, LEAST))
    return builder.select(lost, constant(x.type, 0), times_power(builder, y, shifted))


@intrinsic
def _one(typing: Any, x: Any) -> Any:
    return x(x), lambda context, builder, signature, args: _power(builder, args[0])


@intrinsic
def _all(typing: Any, x: Any, n: Any, top: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(VECTOR, [0.0] * VECTOR.count)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(ABREAST // VECTOR.count)]
        shift = spread(builder, args[2], VECTOR.count)
        for some, total in passed(context, builder, x, args, VECTOR, totals):
            weights = _power(builder, builder.fsub(builder.load(some, align=4), shift))
            builder.store(weights, some, align=4)
            builder.store(builder.fadd(builder.load(total), weights), total)
        return one_of(builder, builder.fadd, totals)

    return types.float32(x, types.int64, types.float32), code


@compiled_as(power)
def _powered(x: Any) -> Callable[..., Any]:
    def power(x: Any) -> Any:
        return _one(x)  # type: ignore[call-arg]

    return power


@compiled_as(powers)
def _all_powered(x: Any, top: Any) -> Callable[..., Any]:
    def powers(x: Any, top: Any) -> Any:
        return _all(x, len(x), top)  # type: ignore[call-arg]

    return powers
