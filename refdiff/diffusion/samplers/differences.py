"""Divided differences in lambda: the derivatives of the model's curve from its past values.

With m0, m1, m2 the latest values first, h the step to come, h_0 and h_1 the last two, and
r0 = h_0 / h, r1 = h_1 / h, the derivatives by lambda at m0 times h and h^2 / 2 are D1 and D2:

    D1 = (m0 - m1) / r0                           from two values
    D1 = D1_0 + r0 / (r0 + r1) (D1_0 - D1_1)      from three, where
    D2 = (D1_0 - D1_1) / (r0 + r1)                D1_0 = (m0 - m1) / r0, D1_1 = (m1 - m2) / r1

(2211.01095, Algorithm 2, and its authors' code for the third order.)
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.plan import Row
from refdiff.diffusion.types import Array


class Ratios(NamedTuple):
    """1/r0, 1/r1, r0/(r0 + r1) and 1/(r0 + r1): [rows] each, 0 where the row looks less far back"""

    inv_r0: Array
    inv_r1: Array
    r0_share: Array
    inv_r01: Array


class LookingBack(Row, Protocol):
    """A row that knows the ratios of the steps before it."""

    @property
    def inv_r0(self) -> float: ...
    @property
    def inv_r1(self) -> float: ...
    @property
    def r0_share(self) -> float: ...
    @property
    def inv_r01(self) -> float: ...


def orders(rows: int, order: int, *, short: bool, euler: bool) -> NDArray[np.int64]:
    """The order of each row: rises to `order` with the rows so far, and falls at the end: -> [rows]

    euler: the last row is of first order. short: the one before of second order at most.
    """
    ramp = np.minimum(np.arange(1, rows + 1), order)
    if short:
        ramp[-2:-1] = np.minimum(ramp[-2:-1], 2)
    if euler:
        ramp[-1:] = 1
    return ramp


def ratios(lambda_: Array, order: NDArray[np.int64]) -> Ratios:
    """How the last steps compare to the next: lambda [rows + 1], order [rows] -> [rows] each"""
    h = np.diff(lambda_)
    before = np.concatenate([h[:1], h[:1], h])
    with np.errstate(divide="ignore", invalid="ignore"):
        r0, r1 = before[1:-1] / h, before[:-2] / h
        columns = (1 / r0, 1 / r1, r0 / (r0 + r1), 1 / (r0 + r1))
    far = (order > 1, order > 2, order > 2, order > 2)
    return Ratios(*(np.where(use, c, 0) for use, c in zip(far, columns, strict=True)))


def backward(m: Sequence[Array], row: LookingBack) -> tuple[Array, ...]:
    """D0, D1 and so on, as many as there are values. m [N,C,H,W] each, latest first"""
    if len(m) == 1:
        return (m[0],)
    D1_0 = row.inv_r0 * (m[0] - m[1])
    if len(m) == 2:
        return m[0], D1_0
    D1_1 = row.inv_r1 * (m[1] - m[2])
    return m[0], D1_0 + row.r0_share * (D1_0 - D1_1), row.inv_r01 * (D1_0 - D1_1)


def inside(m: Sequence[Array], r0: float, r1: float) -> tuple[Array, Array]:
    """D1 and D2 at m2, from there to m1 and m0 at shares r1 and r0 of the step, latest first.

    With r1 = 0, the midpoint method, D1 is the slope to m0 alone (2206.00927, Algorithm 2).
    """
    D1_1 = 1 / r0 * (m[0] - m[2])
    if r1 == 0:
        return D1_1, 0 * D1_1
    D1_0 = 1 / r1 * (m[1] - m[2])
    return (r0 * D1_0 - r1 * D1_1) / (r0 - r1), 2 * (D1_1 - D1_0) / (r0 - r1)
