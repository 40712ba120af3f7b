"""Noise for a run: where it starts, and what the rows of its plan add."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refdiff import noise
from refdiff.diffusion.samplers import Plan
from refdiff.op import Array

Draw = Callable[[int], Array]


def drawer(rng: str, seed: int, shape: Sequence[int], dtype: npt.DTypeLike) -> Draw:
    """Draws in a row from one stream, float32's numbers in any dtype: i -> [*shape]

    rng: a name that `noise.from_name` knows. Raises ConfigError.
    """
    stream = noise.from_name(rng, seed)
    return lambda i: stream.normal(shape, np.float32).astype(dtype)


def row_noise(
    plan: Plan[Any], draw: Draw, seed: int, shape: Sequence[int], dtype: npt.DTypeLike
) -> Draw:
    """The noise of row i: the stream's next or, where a row names an interval, the path's over it.

    Rows with noise_from and noise_to want the increments of one Brownian path, scaled to variance
    1, so that the path does not depend on the number of steps: i -> [*shape]
    """
    if "noise_from" not in plan.names:
        return draw
    ends = np.concatenate([plan.column("noise_from"), plan.column("noise_to")])
    path = noise.brownian_noise(seed, shape, float(ends[ends > 0].min()), float(ends.max()))

    def increment(i: int) -> Array:
        return path(plan.rows[i].noise_from, plan.rows[i].noise_to).astype(dtype)

    return increment
