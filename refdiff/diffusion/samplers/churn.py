"""Churn: before each step a little noise is added, which the step then removes with the rest.

EDM (2206.00364), Algorithm 2. Where s_tmin <= sigma <= s_tmax, of `count` steps each goes up first,

    sigma_hat = sigma (1 + gamma),  gamma = min(s_churn / count, sqrt(2) - 1)
    x_hat     = x + s_noise sqrt(sigma_hat^2 - sigma^2) z

and then down from sigma_hat, where the model is asked on paper. diffusers asks it before the noise
is added, at (x, sigma). Noise that a paper's row needs before its model is asked is added at the
end of the row before, and is in the noise that a run starts from.
"""

import math
from typing import NamedTuple, Protocol

import numpy as np

from refdiff.diffusion.samplers.keys import Key, Values, is_number, number
from refdiff.diffusion.samplers.plan import Plan, Row
from refdiff.diffusion.types import Array, Dialect

CHURN = {
    "s_churn": number(0.0, 0, 1e6, least=True),
    "s_tmin": number(0.0, 0, 1e6, least=True),
    "s_tmax": Key(
        math.inf,
        "a number of at least 0, infinity too",
        lambda v: is_number(v) and (0 <= v <= 1e6 or v == math.inf),
    ),
    "s_noise": number(1.0, 0, 1e6, least=True),
}


class Churn(NamedTuple):
    """How much noise is added, and at which sigmas; none by default."""

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def sigma_hat(self, sigma: Array, count: int) -> Array:
        """Where each of `count` steps begins. sigma [rows] -> [rows]"""
        gamma = min(self.s_churn / count, 2**0.5 - 1)
        within = (self.s_tmin <= sigma) & (sigma <= self.s_tmax)
        return np.where(within, sigma * (gamma + 1), sigma)

    def columns(self, path: Array, count: int, dialect: Dialect) -> dict[str, Array]:
        """The levels and the noise of steps along a path: path [rows + 1] -> [rows] each"""
        sigma, sigma_hat = path[:-1], self.sigma_hat(path[:-1], count)
        added, none = self.s_noise * np.sqrt(sigma_hat**2 - sigma**2), np.zeros_like(sigma)
        paper = dialect == "paper"
        return {
            "sigma": sigma_hat if paper else sigma,
            "sigma_hat": sigma_hat,
            "sigma_next": path[1:],
            "noise_before": none if paper else added,
            "noise_after": np.append(added[1:], 0.0) if paper else none,
        }


NO_CHURN = Churn()


class ChurnRow(Row, Protocol):
    """A row that is asked at sigma and steps from sigma_hat, with noise before or after that."""

    @property
    def noise_before(self) -> float:
        """Standard deviation of the noise that is added before the step."""

    @property
    def noise_after(self) -> float:
        """Standard deviation of the noise that is added after the step."""


class Churned:
    """Samplers whose rows may add noise before or after their step."""

    def needs_noise(self, plan: Plan[ChurnRow], i: int) -> bool:
        """Whether row i adds noise."""
        return max(plan.rows[i].noise_before, plan.rows[i].noise_after) > 0


def churn_of(c: Values) -> Churn:
    """The churn that a sampler's options ask for."""
    return Churn(**{key: float(c[key]) for key in CHURN})
