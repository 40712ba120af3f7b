"""A sampler tried on data whose answer is known: errors against the exact probability flow.

The network of the trial is perfect. In row i it knows that row's own noise level, since the times
of a plan only name the levels, and some samplers round them.
"""

from collections.abc import Callable
from itertools import pairwise
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


X0Of = Callable[[Array, float, float], Array]


def said(prediction: str, x: Array, x0: Array, alpha: float, sigma: float) -> Array:
    """What a network says that sees x0 in x = alpha x0 + sigma eps. x [N,D], x0 [N,D] -> [N,D]"""
    eps = (x - alpha * x0) / sigma
    match prediction:
        case "epsilon":
            return eps
        case "sample":
            return x0
        case "v_prediction":
            return alpha * eps - sigma * x0
        case "score":
            return -eps / sigma
    return eps - x0  # the velocity of flow matching


def best_guess(data: GaussianMixture) -> X0Of:
    """What a perfect denoiser sees: E[x0 | x]; the mean, where x is nothing but noise."""
    return lambda x, alpha, sigma: (
        data.x0(x, alpha, sigma) if alpha else np.broadcast_to(data.mean, x.shape)
    )


def end_of_the_flow(data: GaussianMixture) -> X0Of:
    """What a perfect consistency model sees (2303.01469): where the flow through x ends."""
    far = 1e9  # x over alpha, where x is nothing but noise
    return lambda x, alpha, sigma: (
        data.flow(x / alpha, sigma / alpha, 0.0) if alpha else data.flow(far * x, far, 0.0)
    )


def walk(
    sampler: Sampler[Any],
    plan: Plan[Any],
    data: GaussianMixture = MIXTURE,
    starts: Array = STARTS,
    noise: Callable[[int], Array] | None = None,
    prediction: str = "epsilon",
    x0_of: X0Of | None = None,
    start: int = 0,
) -> Walk:
    """From points of row `start`'s marginal to the end of the plan. starts [N,D] of N(0, 1).

    x0_of: what the network sees in x, `best_guess` unless given.
    """
    x0_of = x0_of or best_guess(data)
    alpha, sigma = sampler.level(plan, start)
    x_in = alpha * data.mean + (alpha**2 + sigma**2) ** 0.5 * starts
    x = x_in / sampler.scale_input(plan, start, np.ones_like(x_in))
    sigmas, ys, memory = [], [], None
    for i in range(start, len(plan)):
        alpha, sigma = sampler.level(plan, i)
        x_in = sampler.scale_input(plan, i, x)
        sigmas.append(sigma / alpha if alpha else np.inf)
        ys.append(x_in / alpha if alpha else x_in)
        row, x0 = plan.rows[i], x0_of(x_in, alpha, sigma)
        if hasattr(row, "c_skip"):  # a network F of EDM's, where x0 = c_skip x + c_out F
            x0 = (x0 - row.c_skip * x) / row.c_out
            out = x0 if prediction == "network" else said(prediction, x_in, x0, alpha, sigma)
        else:
            out = said(prediction, x_in, x0, alpha, sigma)
        z = noise(i) if noise is not None and sampler.needs_noise(plan, i) else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
    return Walk(np.array(sigmas), ys, x)


def begins_a_step(row: Any) -> bool:
    """Whether x is on the sampler's path where the row begins, not inside a step of many calls."""
    return bool(getattr(row, "begins", True)) and getattr(row, "stage", 1) == 1


def drawn(seed: int, shape: tuple[int, ...], plan: Plan[Any]) -> Callable[[int], Array]:
    """Noise for each row by itself or, where rows name intervals, of one Brownian path.

    i -> [*shape]. Rows are to be asked for in their order.
    """
    if "noise_from" not in plan.names:
        return lambda i: np.random.default_rng([seed, i]).standard_normal(shape)
    ends = (plan.column("noise_from").tolist(), plan.column("noise_to").tolist())
    levels, rng = sorted({*ends[0], *ends[1]}, reverse=True), np.random.default_rng(seed)
    path = {levels[0]: np.zeros(shape)}

    def increment(i: int) -> Array:
        start, end = ends[0][i], ends[1][i]
        for above, below in pairwise(levels):
            if end <= below < min(path):
                fall = (above - below) ** 0.5
                path[below] = path[above] + fall * rng.standard_normal(shape)
        for level in [v for v in path if v > start]:
            del path[level]
        return (path[end] - path[start]) / (start - end) ** 0.5

    return increment
