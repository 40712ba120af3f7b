"""Noise levels as the Euler family counts them: sigma = sqrt((1 - alpha_bar) / alpha_bar)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.schedule import NoiseSchedule, ramp
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


def sigma_table(schedule: NoiseSchedule) -> Array:
    """sigma at every training time, in the dialect's precision: -> [T]

    Pure noise has no finite sigma; a last alpha_bar of 0 counts as 2^-24, as in diffusers.
    """
    alpha_bar = schedule.alpha_bar
    if alpha_bar[-1] == 0:
        alpha_bar[-1] = 2.0**-24
    if np.any(alpha_bar == 0):
        raise ConfigError(
            "the noise schedule reaches alpha_bar = 0 before its end, where sigma is infinite, "
            "expected it above 0: choose smaller betas, or a ddim sampler"
        )
    return np.sqrt((1 - alpha_bar) / alpha_bar)


def interpolated(table: Array, t: Array) -> NDArray[np.float64]:
    """sigma at fractional times, linear between the table's entries: t [rows] -> [rows]"""
    return np.interp(t, np.arange(len(table)), table)


def log_linear(table: Array, count: int, dialect: Dialect) -> Array:
    """From the largest sigma to the smallest in equal steps of log(sigma): -> [count]"""
    return np.exp(ramp(np.log(table[-1]), np.log(table[0]), count, dialect))


def to_t(table: Array, sigma: Array) -> NDArray[np.float64]:
    """The fractional time of each sigma, linear in log(sigma): sigma [rows] -> [rows]"""
    return np.interp(np.log(np.maximum(sigma, 1e-10)), np.log(table), np.arange(len(table)))


def karras(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of sigma^(1/7) (2206.00364, eq. 5 with rho = 7): -> [count]"""
    return np.linspace(first ** (1 / 7), last ** (1 / 7), count) ** 7


def exponential(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of log(sigma): -> [count]"""
    return np.exp(np.linspace(np.log(first), np.log(last), count))


def x0_from_eps(x: Array, eps: Array, sigma: float) -> Array:
    """x = x0 + sigma eps, solved for x0. x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
    return x - sigma * eps


def x0_from_v(x: Array, v: Array, sigma: float) -> Array:
    """c_skip x + c_out v with unit data variance (2206.00364, table 1; 2202.00512, appendix D).

    x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]
    """
    return v * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)


def x0_itself(x: Array, x0: Array, sigma: float) -> Array:
    """The model says x0. x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]"""
    return x0


# D(x; sigma) of 2206.00364 by the name of what the model predicts
DENOISED: dict[str, Callable[[Array, Array, float], Array]] = {
    "epsilon": x0_from_eps,
    "sample": x0_itself,
    "v_prediction": x0_from_v,
}
