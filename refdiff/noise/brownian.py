"""Noise along a Brownian path, as DPM-Solver++ SDE of diffusers and k-diffusion asks for it.

    noise(sigma, sigma_next) = W(sigma, sigma_next) / sqrt|sigma_next - sigma|

is normal of variance 1, and the noises of two steps agree wherever the steps overlap, so that a
picture keeps its shape when the number of steps changes. How W comes from a seed is the matter of
brownian_path.py.

Whoever draws the path's normals decides the noise: torch_cpu, or a GPU's stream if the tensors were
there. One seed draws the whole batch as one array, so that a sample depends on the size of the
batch; a list of seeds gives each sample a path of its own.

Source: diffusers 0.42, scheduling_dpmsolver_sde.py, BatchedBrownianTree, BrownianTreeNoiseSampler.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ConfigError, ShapeError
from .brownian_path import BrownianPath, Draw
from .checks import checked_dtype, checked_seed, checked_shape
from .source import Floats, Source, narrowed
from .torch_cpu import torch_cpu

Increment = Callable[[float, float], Floats]

LATEST = 1e6  # float64 still tells multiples of 1e-6 apart there


def brownian_tree(
    seed: int | Sequence[int],
    shape: Sequence[int],
    t0: float,
    t1: float,
    dtype: DTypeLike = np.float32,
    draw: Draw = torch_cpu,
) -> Increment:
    """The function (ta, tb) -> W(ta, tb) of one Brownian path, or of one for each sample.

    seed, shape (N, C, H, W) -> [N,C,H,W] of `dtype`; N seeds, each of one sample -> the same. The
    answer for (tb, ta) is that for (ta, tb) with the other sign; times outside t0 and t1 are taken
    to the nearer of them, and all are rounded to 1e-6. `draw` makes the stream of each seed.
    ConfigError for a seed below 0, a time that is not within ±1e6 or an unknown dtype, ShapeError
    for a shape that cannot be drawn or is not one of as many samples as there are seeds.
    """
    sizes, name = checked_shape(shape), checked_dtype(dtype, Source.dtypes)
    t0, t1 = _checked_time(t0), _checked_time(t1)
    span = (min(t0, t1), max(t0, t1))
    if isinstance(seed, Sequence):
        if not sizes or not 0 < sizes[0] == len(seed):
            raise ShapeError(
                f"{len(seed)} seeds cannot fill the shape {sizes!r:.80}; "
                "give one seed, or one for each index of the first axis"
            )
        paths = [BrownianPath(checked_seed(s, 0), sizes[1:], span, name, draw) for s in seed]
    else:
        paths = [BrownianPath(checked_seed(seed, 0), sizes, span, name, draw)]

    def increment(ta: float, tb: float) -> Floats:
        ta, tb = _checked_time(ta), _checked_time(tb)
        parts = [path(min(ta, tb), max(ta, tb)) for path in paths]
        whole = np.stack(parts) if isinstance(seed, Sequence) else parts[0]
        return whole if (ta < tb) == (t0 < t1) else -whole

    return increment


def brownian_noise(
    seed: int | Sequence[int],
    shape: Sequence[int],
    sigma_min: float,
    sigma_max: float,
    dtype: DTypeLike = np.float32,
    draw: Draw = torch_cpu,
) -> Increment:
    """The function (sigma, sigma_next) -> W / sqrt|sigma_next - sigma|, normal of variance 1.

    Arguments, shapes and errors as for brownian_tree. As diffusers and k-diffusion do, the sigmas
    are rounded to float32 first; two that are then equal are a ConfigError.
    """
    tree = brownian_tree(seed, shape, _single(sigma_min), _single(sigma_max), dtype, draw)
    name = checked_dtype(dtype, Source.dtypes)

    def noise(sigma: float, sigma_next: float) -> Floats:
        a, b = _single(sigma), _single(sigma_next)
        if a == b:
            raise ConfigError(f"the step from sigma {a} to {b} has no length, so there is no noise")
        length = np.sqrt(np.abs(np.float32(b) - np.float32(a)))
        return narrowed(tree(a, b) / length, name)

    return noise


def _single(sigma: float) -> float:
    return float(np.float32(_checked_time(sigma)))


def _checked_time(t: float) -> float:
    try:
        number = float(t)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LATEST:
        raise ConfigError(f"a time must be a number from -1e6 to 1e6, but got {t!r:.80}")
    return number
