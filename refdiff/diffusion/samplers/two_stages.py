"""Methods of two calls a step in sigma: a trial step, and the step taken anew with what it showed.

    d1 = (x - D(x; sigma)) / sigma           x' = x + d1 trial       row of stage 1
    d2 = (x' - D(x'; sigma')) / sigma'       x <- x + d length       row of stage 2

with d the mean of both slopes (Heun) or the second alone (midpoint). A last step to sigma = 0,
where there is no second slope, has its first row only: 2 steps - 1 rows.
"""

from typing import NamedTuple, TypeVar

import numpy as np

from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.sigmas import slope
from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError


class StageRow(NamedTuple):
    """The model is asked at sigma; the row's step from where the first call was is `length`."""

    t: float
    stage: int
    sigma: float
    variance: float
    std: float
    length: float
    noise_std: float


class Begun(NamedTuple):
    """A step under way: where it began, and its first slope."""

    x: Array
    slope: Array


def interleaved(first: Array, second: Array) -> Array:
    """Rows of both stages in turn: first [steps], second [steps - 1] -> [2 steps - 1]"""
    rows = np.empty(2 * len(first) - 1, np.result_type(first, second))
    rows[::2], rows[1::2] = first, second
    return rows


def stages(steps: int) -> Array:
    """1, 2, 1, 2, ..., 1: -> [2 steps - 1]"""
    return interleaved(np.ones(steps, np.int64), np.full(steps - 1, 2, np.int64))


def first_stage(row: StageRow, x: Array, x0: Array) -> tuple[Array, Begun]:
    """The trial step. x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W], memory"""
    d = slope(x, x0, row.sigma)
    return x + d * row.length, Begun(x, d)


def second_stage(row: StageRow, begun: Begun, d: Array, noise: Array | None) -> Array:
    """The step itself, from where the first began. d [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]"""
    return with_noise(begun.x + d * row.length, row.noise_std, noise)


M = TypeVar("M")


def refuse_middle(memory: M | None) -> M:
    """The memory of a second stage. Raises ConfigError where a run starts inside a step."""
    if memory is None:
        raise ConfigError(
            "a run starts in the middle of a step of two calls, which needs the first: start at a "
            "row whose stage is 1"
        )
    return memory
