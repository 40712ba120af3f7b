"""A sampler tried on data whose answer is known: errors against the exact probability flow.

The network of the trial is perfect. In row i it knows that row's own noise level, since the times
of a plan only name the levels, and some samplers round them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refdiff.diffusion.exact import Float64, GaussianMixture
from refdiff.diffusion.samplers.plan import Plan, Sampler
from refdiff.diffusion.types import Array

# two components in the plane, off centre and of different spread
MIXTURE = GaussianMixture(
    np.array([[0.8, 0.3], [-0.5, -0.6]]), np.array([0.35, 0.55]), np.array([0.4, 0.6])
)
# where the flow is started, in units of the noise there
STARTS = np.array([[-1.2, 0.4], [0.3, -0.7], [1.1, 0.9], [-0.2, 1.5]])


class Walk(NamedTuple):
    """A run: where x, over alpha, was when each row began, at which sigma over alpha; its end."""

    sigmas: Float64
    ys: list[Array]
    end: Array


def said(prediction: str, x: Array, alpha: float, sigma: float, data: GaussianMixture) -> Array:
    """What a perfect network of that kind says of x = alpha x0 + sigma eps. x [N,D] -> [N,D]"""
    eps = data.eps(x, alpha, sigma)
    # pure noise says nothing: the best guess is the mean
    x0 = (x - sigma * eps) / alpha if alpha else np.broadcast_to(data.mean, x.shape)
    match prediction:
        case "epsilon":
            return eps
        case "sample":
            return x0
        case "v_prediction":
            return alpha * eps - sigma * x0
    return eps - x0  # the velocity of flow matching


def walk(
    sampler: Sampler[Any],
    plan: Plan[Any],
    data: GaussianMixture = MIXTURE,
    starts: Array = STARTS,
    noise: Callable[[int], Array] | None = None,
    prediction: str = "epsilon",
) -> Walk:
    """From points of the first row's marginal to the end of the plan. starts [N,D] of N(0, 1)."""
    alpha, sigma = sampler.level(plan, 0)
    x_in = alpha * data.mean + (alpha**2 + sigma**2) ** 0.5 * starts
    x = x_in / sampler.scale_input(plan, 0, np.ones_like(x_in))
    sigmas, ys, memory = [], [], None
    for i in range(len(plan)):
        alpha, sigma = sampler.level(plan, i)
        x_in = sampler.scale_input(plan, i, x)
        sigmas.append(sigma / alpha if alpha else np.inf)
        ys.append(x_in / alpha if alpha else x_in)
        out = said(prediction, x_in, alpha, sigma, data)
        z = noise(i) if noise is not None and sampler.needs_noise(plan, i) else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
    return Walk(np.array(sigmas), ys, x)


def begins_a_step(row: Any) -> bool:
    """Whether x is on the sampler's path where the row begins, not inside a step of many calls."""
    return bool(getattr(row, "begins", True)) and getattr(row, "stage", 1) == 1


def drawn(seed: int, shape: tuple[int, ...]) -> Callable[[int], Array]:
    """Noise for each row by itself: the same whatever else is drawn."""
    return lambda i: np.random.default_rng([seed, i]).standard_normal(shape)
