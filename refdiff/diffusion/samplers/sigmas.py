"""Noise levels as the Euler family counts them: sigma = sqrt((1 - alpha_bar) / alpha_bar)."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.plan import Row
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.timesteps import Spacing, spaced
from refdiff.diffusion.schedule import NoiseSchedule, ramp
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


def sigma_table(schedule: NoiseSchedule) -> Array:
    """sigma at every training time, in the dialect's precision: -> [T]

    Pure noise has no finite sigma; a last alpha_bar of 0 counts as 2^-24, as in diffusers, where
    the root that PyTorch takes of 2^24 - 1 is 2^12.
    """
    alpha_bar = schedule.alpha_bar
    pure_noise = alpha_bar[-1] == 0
    if pure_noise:
        alpha_bar[-1] = 2.0**-24
    if np.any(alpha_bar == 0):
        raise ConfigError(
            "the noise schedule reaches alpha_bar = 0 before its end, where sigma is infinite, "
            "expected it above 0: choose smaller betas, or a ddim sampler"
        )
    sigma = np.sqrt((1 - alpha_bar) / alpha_bar)
    if pure_noise:
        sigma[-1] = 2.0**12
    return sigma


def interpolated(table: Array, t: Array) -> NDArray[np.float64]:
    """sigma at fractional times, linear between the table's entries: t [rows] -> [rows]"""
    return np.interp(t, np.arange(len(table)), table)


def log_linear(table: Array, count: int, dialect: Dialect) -> Array:
    """From the largest sigma to the smallest in equal steps of log(sigma): -> [count]"""
    return rounded.exp(ramp(np.log(table[-1]), np.log(table[0]), count, dialect))


def to_t(table: Array, sigma: Array) -> NDArray[np.float64]:
    """The fractional time of each sigma, linear in log(sigma): sigma [rows] -> [rows]"""
    logs, log_sigma = np.log(table), np.log(np.maximum(sigma, 1e-10))
    rising = np.minimum.accumulate(logs[::-1])[::-1]  # as logs, but where the table's end dips
    low = np.clip(np.searchsorted(rising, log_sigma, side="right") - 1, 0, len(table) - 2)
    w = np.clip((log_sigma - logs[low]) / (logs[low + 1] - logs[low]), 0, 1)
    return (1 - w) * low + w * (low + 1)


def grid(
    schedule: NoiseSchedule,
    steps: int,
    spacing: Spacing,
    offset: int,
    respacing: Respacing | None = None,
    double_times: bool = False,
) -> tuple[Array, Array]:
    """Times and sigmas of the Euler family in the dialect's precision: -> t [rows], [rows + 1]

    Sigma follows the times' spacing or, respaced between its own ends, the times follow sigma.
    The last sigma is 0. With double_times the times are float64 in either dialect.
    """
    table = sigma_table(schedule)
    kind = np.dtype(np.float64) if double_times else table.dtype
    t: Array = spaced(schedule, steps, spacing, offset).astype(kind)
    sigma: Array = interpolated(table, t)
    if respacing is not None:
        sigma = respacing(float(sigma[0]), float(sigma[-1]), steps)
        t = to_t(table, sigma).astype(kind)
    return t, np.append(sigma, 0.0).astype(table.dtype)


class Denoising(Row, Protocol):
    """A row that knows sigma, and variance and std of x where the data have 1."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise in x."""

    @property
    def variance(self) -> float:
        """sigma^2 + 1."""

    @property
    def std(self) -> float:
        """sqrt(sigma^2 + 1)."""


def scalings(sigma: Array) -> dict[str, Array]:
    """The columns sigma, variance and std of a plan: sigma [rows] -> [rows] each"""
    variance = sigma**2 + 1
    return {"sigma": sigma, "variance": variance, "std": np.sqrt(variance)}


def x0_from_eps(x: Array, eps: Array, row: Denoising) -> Array:
    """x = x0 + sigma eps, solved for x0. x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
    return x - row.sigma * eps


def x0_from_v(x: Array, v: Array, row: Denoising) -> Array:
    """c_skip x + c_out v with unit data variance (2206.00364, table 1; 2202.00512, appendix D).

    x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]
    """
    return v * (-row.sigma / row.std) + x / row.variance


def x0_itself(x: Array, x0: Array, row: Denoising) -> Array:
    """The model says x0. x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]"""
    return x0


# D(x; sigma) of 2206.00364 by the name of what the model predicts
DENOISED: dict[str, Callable[[Array, Array, Denoising], Array]] = {
    "epsilon": x0_from_eps,
    "sample": x0_itself,
    "v_prediction": x0_from_v,
}


def slope(x: Array, x0: Array, sigma: float) -> Array:
    """dx/dsigma of the probability flow, (x - D(x; sigma)) / sigma (2206.00364, eqs. 1 and 3).

    x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]
    """
    return (x - x0) / sigma
