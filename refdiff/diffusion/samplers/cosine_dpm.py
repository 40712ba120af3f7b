"""Stable Audio's sampler (2407.14358): SDE-DPM-Solver++(2M) with Brownian noise, see sde_2m.py.

x = x0 + sigma eps, and the network F is wrapped as in 2206.00364, eq. 7:

    x0 = c_skip x + c_out F(x / sqrt(sigma^2 + sigma_data^2), atan(sigma) 2 / pi)
    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2)
    c_out  = +- sigma sigma_data / sqrt(sigma^2 + sigma_data^2),    - for v_prediction

A row's noise is a Brownian path's increment from noise_from to noise_to over their distance's root.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers import keys
from refdiff.diffusion.samplers.denoisers import Normalised, check_range, spread
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.sde_2m import coefficients
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS
from refdiff.diffusion.types import Array, Dialect


class CosineRow(NamedTuple):
    """of_x * x + of_x0 * x0 + of_change * stretch * (x0 - x0_before) + noise_std * z"""

    t: float
    sigma: float
    std: float
    c_skip: float
    c_out: float
    of_x: float
    of_x0: float
    of_change: float
    stretch: float
    noise_std: float
    noise_from: float
    noise_to: float


@dataclass(frozen=True)
class CosineDpm(Stochastic, Normalised):
    """curve "exponential" or "karras", order 1 or 2, final "zero" or "sigma_min"."""

    T: int = 1000
    sigma_min: float = 0.3
    sigma_max: float = 500.0
    sigma_data: float = 1.0
    curve: str = "exponential"
    rho: float = 7.0
    prediction: str = "v_prediction"
    order: int = 2
    method: str = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    final: str = "zero"
    dialect: Dialect = "diffusers"

    def __post_init__(self) -> None:
        check_range(self.sigma_min, self.sigma_max)

    def plan(self, steps: int) -> Plan[CosineRow]:
        """One row a step; the first is of order 1, and where that is asked for the last."""
        check_steps(steps, self.T)
        data, end = self.sigma_data, self.sigma_min if self.final == "sigma_min" else 0.0
        sigma = spread(self.sigma_max, self.sigma_min, steps, self.curve, self.rho, self.dialect)
        path = np.append(sigma, sigma.dtype.type(end))
        std = np.sqrt(sigma**2 + data**2)
        first_order = (np.arange(steps) == 0) | (self.order == 1)
        short = self.lower_order_final and steps < 15
        first_order[-1] |= self.euler_at_final or end == 0 or short
        return tabulate(
            CosineRow,
            t=rounded.arctan(sigma) / np.pi * 2,
            sigma=sigma,
            std=std,
            c_skip=data**2 / (sigma**2 + data**2),
            c_out=(-sigma if self.prediction == "v_prediction" else sigma) * data / std,
            **coefficients(path, self.method, first_order),
            noise_from=sigma,
            noise_to=path[1:],
        )

    def init_noise_sigma(self, plan: Plan[CosineRow]) -> float:
        """sqrt(sigma_max^2 + 1), which counts data of spread 1, whatever sigma_data is."""
        return (self.sigma_max**2 + 1) ** 0.5

    def step(
        self,
        plan: Plan[CosineRow],
        i: int,
        x: Array,
        out: Array,
        memory: Array | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Array]:
        """A step along the line through two calls' x0; memory is the x0 before, if there is one.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = row.c_skip * x + row.c_out * out
        mean = row.of_x * x + row.of_x0 * x0
        if memory is not None:
            mean = mean + row.of_change * (row.stretch * (x0 - memory))
        return with_noise(mean, row.noise_std, noise), x0


def _build(c: keys.Values, dialect: Dialect) -> CosineDpm:
    return CosineDpm(
        T=c["num_train_timesteps"],
        **{key: c[key] for key in ("sigma_min", "sigma_max", "sigma_data", "rho")},
        curve=c["sigma_schedule"],
        prediction=c["prediction_type"],
        order=c["solver_order"],
        method="heun" if c["solver_type"] == "heun" else "midpoint",  # as in diffusers
        lower_order_final=c["lower_order_final"],
        euler_at_final=c["euler_at_final"],
        final=c["final_sigmas_type"],
        dialect=dialect,
    )


ENTRY = Entry(
    "cosine_dpm",
    "CosineDPMSolverMultistepScheduler",
    _build,
    order=2,
    good_for="Stable Audio",
    read={
        "num_train_timesteps": keys.integer(1000, 1, MAX_STEPS),
        "sigma_min": keys.number(0.3, 0, 1e6),
        "sigma_max": keys.number(500, 0, 1e6),
        "sigma_data": keys.number(1.0, 0, 1e6),
        "sigma_schedule": keys.choice("exponential", "karras"),
        "rho": keys.number(7.0, 0.1, 100, least=True),
        "prediction_type": keys.choice("v_prediction", "epsilon"),
        "solver_order": keys.integer(2, 1, 2),
        "solver_type": keys.choice("midpoint", "heun", "logrho", "bh1", "bh2"),
        "lower_order_final": keys.flag(True),
        "euler_at_final": keys.flag(False),
        **keys.END,
    },
)
