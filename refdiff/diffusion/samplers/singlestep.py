"""A singlestep solver's rows: steps from one start over ever more of the plan's levels.

A step of order k (2206.00927, Algorithms 1 and 2; 2211.01095, Algorithm 1) calls the model k times
inside itself and looks no further back. Its k rows all start from the same x, each with one more
of the model's values: `back` levels back, from s = levels[i + 1 - back] to t = levels[i + 1]. The
levels between lie at shares r0, the later, and r1 of h = lambda_t - lambda_s.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.differences import inside
from refdiff.diffusion.samplers.lambdas import Levels, coefficients
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.types import Array, Dialect


class SinglestepRow(NamedTuple):
    """of_x x + of_d0 D0 + of_d1 D1 + of_d2 D2 + noise_std z from one level back, or from 2 or 3.

    x is alpha x0 + std eps here. A run that starts inside a step has fewer levels to go back to.
    """

    t: float
    sigma: float
    alpha: float
    std: float
    order: int
    of_x: float
    of_d0: float
    noise_std: float
    r0_back_2: float
    of_x_back_2: float
    of_d0_back_2: float
    of_d1_back_2: float
    noise_std_back_2: float
    r0_back_3: float
    r1_back_3: float
    of_x_back_3: float
    of_d0_back_3: float
    of_d1_back_3: float
    of_d2_back_3: float
    noise_std_back_3: float


def back_columns(
    back: int,
    levels: Levels,
    order: NDArray[np.int64],
    algorithm: str,
    midpoint: bool,
    dialect: Dialect,
) -> dict[str, Array]:
    """The columns of the steps from so many levels back, 0 where a row does not go so far."""
    rows = np.arange(len(order))
    t, s = levels.at(rows + 1), levels.at(np.maximum(rows + 1 - back, 0))
    c = coefficients(algorithm, t, s, dialect)
    columns = {"of_x": c.of_x, "of_d0": c.of_d0, "noise_std": c.noise_std}
    with np.errstate(divide="ignore", invalid="ignore"):
        h = t.lambda_ - s.lambda_
        r0, r1 = ((levels.lambda_[rows - k] - s.lambda_) / h for k in (0, 1))
    if back > 1:
        columns |= {"r0": r0, "of_d1": 0.5 * c.of_d0 if back == 2 and midpoint else c.of_d1}
    if back > 2:
        columns |= {"r1": r1, "of_d2": c.of_d2}
        if midpoint:
            columns |= {"r1": np.zeros_like(r1), "of_d2": np.zeros_like(r1)}
    suffix = f"_back_{back}" if back > 1 else ""
    return {name + suffix: np.where(order < back, 0, c) for name, c in columns.items()}


def singlestep(row: SinglestepRow, start: Array, m: Sequence[Array], noise: Array | None) -> Array:
    """From the step's start to the row's end, with as many values as have been made since.

    start [N,C,H,W], m [N,C,H,W] each, latest first, noise [N,C,H,W] -> [N,C,H,W]
    """
    if len(m) == 1:
        return with_noise(row.of_x * start + row.of_d0 * m[0], row.noise_std, noise)
    mean: Array
    d1: Array
    if len(m) == 2:
        d1 = 1 / row.r0_back_2 * (m[0] - m[1])
        mean = row.of_x_back_2 * start + row.of_d0_back_2 * m[1] + row.of_d1_back_2 * d1
        return with_noise(mean, row.noise_std_back_2, noise)
    d1, d2 = inside(m, row.r0_back_3, row.r1_back_3)
    mean = row.of_x_back_3 * start + row.of_d0_back_3 * m[2] + row.of_d1_back_3 * d1
    return with_noise(mean + row.of_d2_back_3 * d2, row.noise_std_back_3, noise)
