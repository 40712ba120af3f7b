"""exp of what is not above 0: in float32 a polynomial that the compiler spreads over vector units.

    k = rint(x / ln 2),  r = x - k ln 2,  exp(x) = 2^k exp(r),  |r| <= ln 2 / 2

ln 2 is taken off in two parts, the first of which has so few bits that k times it is exact (Cody &
Waite 1980, ch. 6). exp(r) = 1 + r + r^2 q(r) with q of degree 4, interpolated at Chebyshev's
points, is off by at most 1.5 units of roundoff. Adding 1.5 x 2^23 rounds to a whole number and
leaves it in the last bits, from where it is added to the exponent.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.jit import jit
from refdiff.kernels.panels import PLACE
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.vectors import constant
from refdiff.op import Array

PER_LN2 = np.float32(1 / np.log(2))
LN2 = np.float32(0.693359375), np.float32(np.log(2) - 0.693359375)
ROUND = np.float32(1.5 * 2**23)
Q = tuple(map(np.float32, (0.5, 0.16666577, 0.04166646, 0.00836318, 0.00139336)))
LEAST = np.float32(-87.33654)  # exp of less is no normal number, and becomes 0


def exp32(x: Any) -> Any:
    """exp(x) for x <= 0."""
    return np.exp(x)


def sigma32(x: Any) -> Any:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def exp_emitted(builder: Any, x: Any) -> Any:
    """The instructions of `exp32`, for a number or a vector of them."""
    shifted = multiply_add(builder, x, constant(x.type, PER_LN2), constant(x.type, ROUND))
    k, r = builder.fsub(shifted, constant(x.type, ROUND)), x
    for part in LN2:
        r = multiply_add(builder, k, constant(x.type, -part), r)
    q = constant(x.type, Q[-1])
    for coefficient in Q[-2::-1]:
        q = multiply_add(builder, q, r, constant(x.type, coefficient))
    y = builder.fadd(multiply_add(builder, builder.fmul(q, r), r, r), constant(x.type, 1))
    lost = builder.fcmp_ordered("<", x, constant(x.type, LEAST))
    return builder.select(lost, constant(x.type, 0), times_power(builder, y, shifted))


def times_power(builder: Any, y: Any, shifted: Any) -> Any:
    """y 2^k, with k in the last bits of `shifted`."""
    kind = y.type
    bits = ir.VectorType(PLACE, kind.count) if isinstance(kind, ir.VectorType) else PLACE
    exponent = builder.shl(builder.bitcast(shifted, bits), constant(bits, 23))
    return builder.bitcast(builder.add(builder.bitcast(y, bits), exponent), kind)


def sigma_emitted(builder: Any, x: Any) -> Any:
    """Those of `sigma32`: of exp(-|x|), which is nowhere too large."""
    one, positive = constant(x.type, 1), builder.fcmp_ordered(">", x, constant(x.type, 0))
    e = exp_emitted(builder, builder.select(positive, builder.fneg(x), x))
    return builder.fdiv(builder.select(positive, one, e), builder.fadd(one, e))


def _called(f: Callable[[Any], Any], emit: Callable[[Any, Any], Any]) -> None:
    """What compiled code calls f is what emit gives; a loop of it is spread over vector units."""

    def number(typing: Any, x: Any) -> Any:
        return x(x), lambda context, builder, signature, args: emit(builder, args[0])

    one: Any = intrinsic(number)

    @compiled_as(f)
    def _compiled(x: Any) -> Callable[[Any], Any]:
        def by_instructions(x: Any) -> Any:
            return one(x)

        return by_instructions


_called(exp32, exp_emitted)
_called(sigma32, sigma_emitted)


def exp_from(x: Array, top: Array) -> None:
    """x <- exp(x - top), where no x is above top. x [R,L], top [R,1]"""
    if x.dtype == np.float32:
        _exp_from(x, top)
    else:
        np.exp(np.subtract(x, top, out=x), out=x)


@jit
def _exp_from(x: Array, top: Array) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = exp32(x[i, j] - top[i, 0])
