"""The sum of two arrays: where a residual, a time or a place is added."""

from refdiff import kernels
from refdiff.op import Array, op


@op
def add(x: Array, y: Array) -> Array:
    """x + y, where y may be broadcast to x. x [*], y [*] -> [*]"""
    return x + y


@add.kernel
def _(x: Array, y: Array) -> Array:
    """The same sums, some at a time.

    Bound: 0
    """
    return kernels.moving.add(x, y)
