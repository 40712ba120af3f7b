"""UniPC's weights: its steps match the exact one's Taylor series (2302.04867, eqs. 5 to 9).

With h = lambda_t - lambda_s, r_j = (lambda_j - lambda_s) / h the places of the values m_j beside
m_0 (r = 1 is that of m_t), D_j = (m_j - m_0) / r_j, and g, scale of `lambdas`, a step is

    x_t = of_x x_s - scale [(e^g - 1) m_0 + B(g) sum_j a_j D_j]

where a solves R(r) a = b: R_kj = r_j^(k-1), b_k = k! phi_k / B(g), phi_1 = (e^g - 1) / g - 1,
phi_(k+1) = phi_k / g - 1 / (k+1)!. B is g ("bh1") or e^g - 1 ("bh2"), which matters with a single
r_j only, where a = 1/2 stands for the solution.
"""

from typing import NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.adams import Steps
from refdiff.diffusion.samplers.lambdas import ALGORITHMS
from refdiff.diffusion.types import Array


class Exponential(NamedTuple):
    """What of the equation does not depend on the order: [rows] each."""

    of_x: Array
    scale: Array
    g: Array
    e: Array


def exponential(steps: Steps, algorithm: str) -> Exponential:
    """of_x, scale, g and e^g - 1 of "dpmsolver++" (x0) or "dpmsolver" (eps): -> [rows] each"""
    of_x, scale, g, _ = ALGORITHMS[algorithm](steps.end, steps.start, steps.h)
    return Exponential(of_x, scale, g, rounded.expm1(g))


def places(steps: Steps) -> Array:
    """r_j of the values before m_0: -> [values - 1,rows]"""
    return (steps.past.lambda_[1:] - steps.start.lambda_) / steps.h


def weights(part: Exponential, r: Array, bh2: bool) -> Array:
    """Those of m_0 and of the values at r: r [values,rows] -> [1 + values,rows]"""
    B = part.e if bh2 else part.g
    beside = -(part.scale * B) * (matched(r, part.g, part.e, B) / r)
    return np.concatenate([[-(part.scale * part.e) - np.sum(beside, axis=0)], beside])


def matched(r: Array, g: Array, e: Array, B: Array) -> Array:
    """a of R(r) a = b: r [values,rows], g, e, B [rows] -> [values,rows]"""
    count = len(r)
    if count < 2:
        return np.full_like(r, 0.5)
    phi, factorial, b = e / g - 1, 1, []
    for k in range(1, count + 1):
        b.append(phi * factorial / B)
        factorial *= k + 1
        phi = phi / g - 1 / factorial
    R = np.stack([r**k for k in range(count)])
    return np.linalg.solve(np.moveaxis(R, -1, 0), np.stack(b, axis=-1)[..., None])[..., 0].T
