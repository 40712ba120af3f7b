"""Sums by lanes: several side by side, which vector units add at once, joined in one order."""

from typing import Any

from refdiff.kernels.jit import inlined
from refdiff.op import Array

LANES = 64


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
    """The sum of x [n], from the first on."""
    y = x[0]
    for i in range(1, len(x)):
        y += x[i]
    return y
