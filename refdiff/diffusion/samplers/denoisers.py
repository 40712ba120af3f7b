"""What samplers of x = x0 + sigma eps share whose networks were trained at a range of sigma.

No table of alpha_bar, no scaled betas: sigma_min, sigma_max, and sigma_data, the spread of the data
(2206.00364). The network is shown x / sqrt(sigma^2 + sigma_data^2), which has variance 1.
"""

from typing import Protocol

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.families import OneOutput
from refdiff.diffusion.samplers.plan import Plan, Row
from refdiff.diffusion.samplers.respacing import polynomial
from refdiff.diffusion.schedule import ramp
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class NormalisedRow(Row, Protocol):
    """A row that knows sigma, and the standard deviation of the noisy data."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise in x."""

    @property
    def std(self) -> float:
        """sqrt(sigma^2 + sigma_data^2)."""


class Normalised(OneOutput):
    """Noising and input of such samplers. What they start from is their own."""

    def add_noise(self, plan: Plan[NormalisedRow], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        return x0 + plan.rows[i].sigma * eps

    def scale_input(self, plan: Plan[NormalisedRow], i: int, x: Array) -> Array:
        """x at variance 1. x [N,C,H,W] -> [N,C,H,W]"""
        return x / plan.rows[i].std

    def level(self, plan: Plan[NormalisedRow], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        row = plan.rows[i]
        return 1 / row.std, row.sigma / row.std


def check_range(sigma_min: float, sigma_max: float) -> None:
    """Raise ConfigError unless sigma_min is below sigma_max."""
    if not sigma_min < sigma_max:
        raise ConfigError(
            f"sigma_min is {sigma_min} and sigma_max {sigma_max}, expected sigma_min to be the "
            "smaller: exchange them"
        )


def spread(high: float, low: float, count: int, curve: str, rho: float, dialect: Dialect) -> Array:
    """Sigma in equal steps of sigma^(1/rho) ("karras"), or else of its logarithm: -> [count]"""
    if curve == "karras":
        return polynomial(high, low, ramp(0.0, 1.0, count, dialect), rho)
    if dialect == "paper":
        return np.exp(ramp(np.log(high), np.log(low), count, dialect))
    # diffusers counts from below, so that a single step starts at the lowest sigma
    return rounded.exp(ramp(np.log(low), np.log(high), count, dialect))[::-1]
