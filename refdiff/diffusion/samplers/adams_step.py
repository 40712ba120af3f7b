"""Exponential Adams methods: a step by the model's last values, corrected once the next is known.

Solving from s to t with m_0 what the model says at s, m_1, m_2, ... what it said before, latest
first, and m_t what it says at the predicted x_t:

    predicted: x_t = of_x x_s + w_0 m_0 + w_1 m_1 + ...           + noise_std z
    corrected: x_t = of_x x_s + c_0 m_0 + c_1 m_1 + ... + c_t m_t + noise_std z

m is x0 or eps; the weights, functions of lambda alone, are what each method has of its own
(`lambdas`). The next step starts from the corrected x_t and yet takes m_t as it is, so that there
is one call of the model a step.
"""

from collections.abc import Sequence
from typing import NamedTuple

from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.types import Array


class AdamsRow(NamedTuple):
    """The step from this row's level to sigma_next; corrected in the next row.

    order: how many values the prediction takes. corrector: how many the correction takes, m_t
    among them; 0 for none.
    """

    t: float
    sigma: float
    alpha: float
    std: float
    sigma_next: float
    order: int
    corrector: int
    of_x: float
    w_0: float
    w_1: float
    w_2: float
    w_3: float
    c_t: float
    c_0: float
    c_1: float
    c_2: float
    noise_std: float


class Memory(NamedTuple):
    """The last step: its row, its start, the values latest first, its noise."""

    row: AdamsRow
    x: Array
    values: tuple[Array, ...]
    noise: Array | None


def predicted(row: AdamsRow, x: Array, values: Sequence[Array], noise: Array | None) -> Array:
    """The step's end by the values so far, latest first.

    x [N,C,H,W], values [N,C,H,W] each, noise [N,C,H,W] -> [N,C,H,W]
    """
    weights = (row.w_0, row.w_1, row.w_2, row.w_3)[: row.order]
    return with_noise(row.of_x * x + _weighted(weights, values), row.noise_std, noise)


def corrected(last: Memory, x: Array, new: Array) -> Array:
    """The last step's end by the new value too, in place of x where that row corrects.

    x [N,C,H,W], new [N,C,H,W] -> [N,C,H,W]
    """
    row = last.row
    if row.corrector == 0:
        return x
    weights = (row.c_t, row.c_0, row.c_1, row.c_2)[: row.corrector]
    mean = row.of_x * last.x + _weighted(weights, (new, *last.values))
    return with_noise(mean, row.noise_std, last.noise)


def _weighted(weights: Sequence[float], values: Sequence[Array]) -> Array:
    """Sum of as many values as there are weights, in this order."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=False):
        total = total + weight * value
    return total
