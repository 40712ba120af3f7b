"""Noise schedules in continuous time: x_t = alpha(t) x0 + sigma(t) eps, t from 0 (data) to 1.

sigma here is the share of noise in x itself; samplers of the Euler family count by sigma / alpha.
The tables of schedule.py are what such curves look like at T times: `steps` makes one.

    log_snr(t) = log(alpha(t)^2 / sigma(t)^2)        falls with t (2107.00630)
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class Curve(Protocol):
    """A noise schedule in continuous time. t [*] in [0, 1], as floats -> [*]"""

    def alpha(self, t: Array) -> Array:
        """The data's share in x."""

    def sigma(self, t: Array) -> Array:
        """The noise's share in x."""

    def log_snr(self, t: Array) -> Array:
        """log(alpha^2 / sigma^2), inf where there is no noise."""


@dataclass(frozen=True)
class VP:
    """Variance preserving, beta(t) = beta_min + beta_d t: DDPM's limit (2011.13456, eq. 33)."""

    beta_min: float = 0.1
    beta_d: float = 19.9

    def __post_init__(self) -> None:
        if not (0 <= self.beta_min < np.inf and 0 <= self.beta_d < np.inf) or (
            self.beta_min == self.beta_d == 0
        ):
            raise ConfigError(
                f"beta_min is {self.beta_min!r} and beta_d {self.beta_d!r}, expected finite "
                "numbers of at least 0, not both 0: mend them"
            )

    def noised(self, t: Array) -> Array:
        """Integral of beta from 0 to t: t [*] -> [*]"""
        return self.beta_d * t**2 / 2 + self.beta_min * t

    def alpha(self, t: Array) -> Array:
        """exp(-1/2 integral of beta): t [*] -> [*]"""
        return np.exp(-self.noised(t) / 2)

    def sigma(self, t: Array) -> Array:
        """sqrt(1 - alpha^2), exact near 0: t [*] -> [*]"""
        return np.sqrt(-np.expm1(-self.noised(t)))

    def log_snr(self, t: Array) -> Array:
        """-log(e^B - 1), B the integral of beta: t [*] -> [*]"""
        B = self.noised(t)
        with np.errstate(divide="ignore"):
            return -B - np.log(-np.expm1(-B))


@dataclass(frozen=True)
class VE:
    """Variance exploding, sigma geometric from sigma_min to sigma_max (2011.13456, appendix C).

    x0 is left as it is, and t = 0 has sigma_min of noise.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < np.inf:
            raise ConfigError(
                f"sigma_min is {self.sigma_min!r} and sigma_max {self.sigma_max!r}, expected "
                "0 < sigma_min < sigma_max, both finite: mend them"
            )

    def alpha(self, t: Array) -> Array:
        """1: t [*] -> [*]"""
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        """sigma_min (sigma_max / sigma_min)^t: t [*] -> [*]"""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def log_snr(self, t: Array) -> Array:
        """-2 log(sigma), a straight line: t [*] -> [*]"""
        return -2 * np.log(self.sigma(t))


@dataclass(frozen=True)
class Rectified:
    """Straight lines between data and noise, x = (1 - t) x0 + t eps (2209.03003)."""

    def alpha(self, t: Array) -> Array:
        """1 - t: t [*] -> [*]"""
        return 1 - t

    def sigma(self, t: Array) -> Array:
        """t: t [*] -> [*]"""
        return t

    def log_snr(self, t: Array) -> Array:
        """2 log((1 - t) / t): t [*] -> [*]"""
        with np.errstate(divide="ignore"):
            return 2 * (np.log(1 - t) - np.log(t))


def steps(
    curve: Curve, T: int = 1000, max_beta: float = 0.999, *, dialect: Dialect = "paper"
) -> NoiseSchedule:
    """The curve's levels at 1/T, 2/T, ..., 1 as a table of T noising steps, beta capped.

    Where alpha^2 + sigma^2 is not 1, x is scaled so that it is: the levels' SNR stays. The first
    step leads from clean data to the level at 1/T, also where the curve has noise at 0.
    Raises ConfigError where a level before the last is nothing but noise.
    """

    def alpha_bar(u: Array) -> Array:
        levels = np.where(u > 0, np.exp(-np.logaddexp(0, -curve.log_snr(u))), 1.0)
        if np.any(levels[:-1] == 0):
            raise ConfigError(
                f"{curve} leaves nothing of the data before t = 1, expected some that a table of "
                "steps can tell from 0: lower its noise"
            )
        return levels

    return NoiseSchedule.from_alpha_bar(alpha_bar, T, max_beta, dialect=dialect)
