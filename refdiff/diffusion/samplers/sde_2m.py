"""SDE-DPM-Solver++(2M) for x = x0 + sigma eps (2211.01095, section 6): the plan's coefficients.

A step of length h in lambda = -log(sigma), after one of length h_before:

    x <- sigma_next / sigma e^-h x + (1 - e^-2h) x0 + of_change stretch (x0 - x0_before)
         + sigma_next sqrt(1 - e^-2h) z
    of_change = (1 - e^-2h) / 2 (midpoint)    or    1 - (1 - e^-2h) / 2h (heun)
    stretch   = h / h_before
"""

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.types import Array


def coefficients(path: Array, method: str, first_order: Array) -> dict[str, Array]:
    """The columns of a step by their names: path [rows + 1], first_order [rows] -> [rows] each

    method: "midpoint" or "heun". Computed in path's precision, in the order in which diffusers
    does.
    """
    sigma, sigma_next = path[:-1], path[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        # below 0 only by rounding, where two levels are one: such a step has no length
        h = np.maximum(rounded.log(sigma) - rounded.log(sigma_next), 0)
        gone = 1 - rounded.exp(-2 * h)
        change = gone / 2 if method == "midpoint" else gone / (-2 * h) + 1
        stretch = 1 / (np.append(np.nan, h[:-1]).astype(h.dtype) / h)
    alone = first_order | (h == 0)
    return {
        "of_x": sigma_next / sigma * rounded.exp(-h),
        "of_x0": gone,
        "of_change": np.where(alone, 0, change),
        "stretch": np.where(alone, 0, stretch),
        "noise_std": sigma_next * np.sqrt(gone),
    }
