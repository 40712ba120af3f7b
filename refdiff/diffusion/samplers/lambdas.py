"""Exponential integrators: a step in lambda that is exact but for the model's own curve.

Between s and t < s the data's and the noise's share of x = alpha x0 + std eps change, and with
lambda = log(alpha / std) the probability flow, and the SDE with the same marginals, solve to an
integral over lambda of what the model says of x0 or eps (DPM-Solver, 2206.00927, eq. 3.4;
DPM-Solver++, 2211.01095, proposition 4.1 and section 6). With that replaced by its Taylor
polynomial, D_k being its k-th derivative times h^k, h = lambda_t - lambda_s:

    x_t = of_x x_s + noise_std z
          - scale [(e^g - 1) D0 + ((e^g - 1)/g - 1) D1 + ((e^g - 1 - g)/g^2 - 1/2) D2 + ...]

                     of D    of_x                 scale     g      noise_std
    dpmsolver++      x0      std_t / std_s        alpha_t   -h     0
    dpmsolver        eps     alpha_t / alpha_s    std_t     h      0
    sde-dpmsolver++  x0      std_t / std_s e^-h   alpha_t   -2h    std_t sqrt(1 - e^-2h)
    sde-dpmsolver    eps     alpha_t / alpha_s    2 std_t   h      std_t sqrt(e^2h - 1)

Everything here is computed in the precision of what is given, in the order in which diffusers does.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion import rounded
from refdiff.diffusion.types import Array, Dialect


class Levels(NamedTuple):
    """x = alpha x0 + std eps along a path of noise levels, [rows + 1] each; sigma names them."""

    sigma: Array
    alpha: Array
    std: Array
    lambda_: Array

    def at(self, rows: slice | NDArray[np.int64]) -> "Levels":
        """Some of the levels."""
        return Levels(*(column[rows] for column in self))


def preserving(sigma: Array) -> Levels:
    """alpha^2 + std^2 = 1, and sigma = std / alpha: sigma [rows] -> [rows] each"""
    alpha = 1 / np.sqrt(sigma**2 + 1)
    return _levels(sigma, alpha, sigma * alpha)


def straight(sigma: Array) -> Levels:
    """alpha + std = 1, and sigma = std: the straight flow. sigma [rows] -> [rows] each"""
    return _levels(sigma, 1 - sigma, sigma)


def exploding(sigma: Array) -> Levels:
    """alpha = 1, and sigma = std (2206.00364). sigma [rows] -> [rows] each"""
    return _levels(sigma, np.ones_like(sigma), sigma)


def _levels(sigma: Array, alpha: Array, std: Array) -> Levels:
    with np.errstate(invalid="ignore"):  # a negative alpha: tabulate refuses the plan
        return Levels(sigma, alpha, std, rounded.log(alpha) - rounded.log(std))


class Linear(NamedTuple):
    """What the step's equation is made of, by the name of the algorithm: [rows] each."""

    of_x: Array
    scale: Array
    g: Array
    noise_std: Array


def _data(t: Levels, s: Levels, h: Array) -> Linear:
    return Linear(t.std / s.std, t.alpha, -h, 0 * t.std)


def _noise(t: Levels, s: Levels, h: Array) -> Linear:
    return Linear(t.alpha / s.alpha, t.std, h, 0 * t.std)


def _data_sde(t: Levels, s: Levels, h: Array) -> Linear:
    std = t.std * np.sqrt(1 - rounded.exp(-2 * h))
    return Linear(t.std / s.std * rounded.exp(-h), t.alpha, -2 * h, std)


def _noise_sde(t: Levels, s: Levels, h: Array) -> Linear:
    return Linear(t.alpha / s.alpha, 2 * t.std, h, t.std * np.sqrt(rounded.exp(2 * h) - 1))


ALGORITHMS: dict[str, Callable[[Levels, Levels, Array], Linear]] = {
    "dpmsolver++": _data,
    "dpmsolver": _noise,
    "sde-dpmsolver++": _data_sde,
    "sde-dpmsolver": _noise_sde,
}


class Coefficients(NamedTuple):
    """x_t = of_x x + of_d0 D0 + of_d1 D1 + of_d2 D2 + noise_std z: [rows] each."""

    of_x: Array
    of_d0: Array
    of_d1: Array
    of_d2: Array
    noise_std: Array


def coefficients(algorithm: str, t: Levels, s: Levels, dialect: Dialect) -> Coefficients:
    """The step's coefficients from levels s to levels t, not finite where a step has no length.

    diffusers adds 1/2 in D2's with sde-dpmsolver++, where it should take it off.
    """
    half = -0.5 if dialect == "diffusers" and algorithm == "sde-dpmsolver++" else 0.5
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        h = t.lambda_ - s.lambda_
        of_x, scale, g, noise_std = ALGORITHMS[algorithm](t, s, h)
        e = rounded.exp(g) - 1
        return Coefficients(
            of_x,
            -(scale * e),
            -(scale * (e / g - 1)),
            -(scale * ((e - g) / g**2 - half)),
            noise_std,
        )
