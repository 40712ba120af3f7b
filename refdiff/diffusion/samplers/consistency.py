"""Sampling of consistency models (2303.01469): to the data in one step, and noised again.

The model f is a network F that is the identity at sigma_min by construction (appendix C):

    f(x, sigma) = c_skip x + c_out F(x / sqrt(sigma^2 + sigma_data^2), 250 log(sigma))
    c_skip = sigma_data^2 / ((sigma - sigma_min)^2 + sigma_data^2)
    c_out  = sigma_data (sigma - sigma_min) / sqrt(sigma^2 + sigma_data^2)

A row is one round of algorithm 1: x <- f(x, sigma) + sqrt(sigma_next^2 - sigma_min^2) z. Sigma has
equal steps of sigma^(1/rho) over the training times (section 3), counted from sigma_max down, and
the rows are every k-th of those, or those that are given.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.correction import Clip, Correction, keep
from refdiff.diffusion.samplers.denoisers import Normalised, check_range
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.keys import Values, flag, integer, number
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import polynomial
from refdiff.diffusion.samplers.timesteps import check_steps, listed
from refdiff.diffusion.schedule import MAX_STEPS, PRECISION
from refdiff.diffusion.types import Array, Dialect


class ConsistencyRow(NamedTuple):
    """c_skip * x + c_out * F + noise_std * z"""

    t: float
    sigma: float
    std: float
    c_skip: float
    c_out: float
    noise_std: float


@dataclass(frozen=True)
class Consistency(Stochastic, Normalised):
    """Multistep consistency sampling; with one step no noise is added."""

    T: int = 40
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    s_noise: float = 1.0
    rho: float = 7.0
    correction: Correction = keep
    dialect: Dialect = "diffusers"
    times: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_range(self.sigma_min, self.sigma_max)

    def plan(self, steps: int) -> Plan[ConsistencyRow]:
        """One row a round, at every T // steps-th training time; the last ends at sigma_min."""
        check_steps(steps, self.T)
        strides = np.arange(float(steps)) * (self.T // steps)
        if self.times:
            strides = listed(self.times, steps, self.T)[::-1]
        share = strides / (self.T - 1)
        path = np.append(
            polynomial(self.sigma_max, self.sigma_min, share, self.rho), self.sigma_min
        )
        t = 250 * np.log(path[:-1] + 1e-44)
        path = path.astype(PRECISION[self.dialect])
        sigma, least, data = path[:-1], self.sigma_min, self.sigma_data
        std = np.sqrt(sigma**2 + data**2)
        # rounding may take this below 0 at sigma_min
        renewed = np.sqrt(np.maximum(path[1:] ** 2 - least**2, 0))
        return tabulate(
            ConsistencyRow,
            t=t,
            sigma=sigma,
            std=std,
            c_skip=data**2 / ((sigma - least) ** 2 + data**2),
            c_out=(sigma - least) * data / std,
            noise_std=self.s_noise * renewed * (steps > 1),
        )

    def init_noise_sigma(self, plan: Plan[ConsistencyRow]) -> float:
        """sigma_max."""
        return self.sigma_max

    def step(
        self,
        plan: Plan[ConsistencyRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """f(x, sigma) and noise up to sigma_next (2303.01469, algorithm 1).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(row.c_out * out + row.c_skip * x)
        return with_noise(x0, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> Consistency:
    return Consistency(
        c["num_train_timesteps"],
        c["sigma_min"],
        c["sigma_max"],
        c["sigma_data"],
        c["s_noise"],
        c["rho"],
        Clip(1.0) if c["clip_denoised"] else keep,
        dialect,
        tuple(c["timesteps"] or ()),
    )


ENTRY = Entry(
    "consistency",
    "CMStochasticIterativeScheduler",
    _build,
    order=0,
    good_for="consistency models, in one step or a few",
    read={
        "num_train_timesteps": integer(40, 2, MAX_STEPS),
        "sigma_min": number(0.002, 0, 1e6),
        "sigma_max": number(80.0, 0, 1e6),
        "sigma_data": number(0.5, 0, 1e6),
        "s_noise": number(1.0, 0, 10, least=True),
        "rho": number(7.0, 0.1, 100, least=True),
        "clip_denoised": flag(True),
    },
    options=TIMESTEPS,
)
