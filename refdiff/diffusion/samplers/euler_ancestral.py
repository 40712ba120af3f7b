"""Euler's method with noise renewed at every step: ancestral sampling in sigma.

Katherine Crowson's k-diffusion, sample_euler_ancestral. It is DDPM's posterior in the variance
exploding scaling: from sigma to sigma_next, go down deterministically to sigma_down, then up again
with fresh noise of standard deviation noise_std, where sigma_down^2 + noise_std^2 = sigma_next^2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.samplers.families import VarianceExploding
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.sigmas import DENOISED, interpolated, sigma_table
from refdiff.diffusion.samplers.timesteps import Spacing, spaced
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array


class EulerAncestralRow(NamedTuple):
    """x + (x - x0) / sigma * (sigma_down - sigma) + noise_std * z"""

    t: float
    sigma: float
    sigma_next: float
    sigma_down: float
    noise_std: float


@dataclass(frozen=True)
class EulerAncestral(VarianceExploding):
    """Euler with ancestral noise, to sigma = 0."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0

    def plan(self, steps: int) -> Plan[EulerAncestralRow]:
        """One row a step; the last leads to sigma 0 and adds no noise."""
        table = sigma_table(self.schedule)
        t = spaced(self.schedule, steps, self.spacing, self.offset).astype(table.dtype)
        path = np.append(interpolated(table, t), 0.0).astype(table.dtype)
        sigma, sigma_next = path[:-1], path[1:]
        up = np.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
        return tabulate(
            EulerAncestralRow,
            t=t.astype(np.float64),
            sigma=sigma,
            sigma_next=sigma_next,
            # rounding may take this below 0 where sigma falls far in one step
            sigma_down=np.sqrt(np.maximum(sigma_next**2 - up**2, 0)),
            noise_std=up,
        )

    def needs_noise(self, plan: Plan[EulerAncestralRow], i: int) -> bool:
        """Whether row i adds noise: every row but the last."""
        return plan.rows[i].sigma_next > 0

    def step(
        self,
        plan: Plan[EulerAncestralRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """Euler's step to sigma_down, and noise up to sigma_next.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row.sigma)
        mean = x + (x - x0) / row.sigma * (row.sigma_down - row.sigma)
        return with_noise(mean, row.noise_std, noise), None
