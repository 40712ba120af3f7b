"""Euler's method with noise renewed at every step: ancestral sampling in sigma.

Katherine Crowson's k-diffusion, sample_euler_ancestral. It is DDPM's posterior in the variance
exploding scaling: from sigma to sigma_next, go down deterministically to sigma_down, then up again
with fresh noise of standard deviation noise_std, where sigma_down^2 + noise_std^2 = sigma_next^2.
"""

from dataclasses import dataclass
from typing import NamedTuple

from refdiff.diffusion.samplers.beyond import SIGMAS, SPACING
from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VarianceExploding
from refdiff.diffusion.samplers.keys import EPS_V, LINSPACE, ZERO_SNR, Values, schedule_keys
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.renewal import down_and_up
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings, slope
from refdiff.diffusion.samplers.timesteps import Spacing
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class EulerAncestralRow(NamedTuple):
    """x + (x - x0) / sigma * (sigma_down - sigma) + noise_std * z"""

    t: float
    sigma: float
    variance: float
    std: float
    sigma_next: float
    sigma_down: float
    noise_std: float


@dataclass(frozen=True)
class EulerAncestral(Stochastic, VarianceExploding):
    """Euler with ancestral noise, to sigma = 0."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None

    def plan(self, steps: int) -> Plan[EulerAncestralRow]:
        """One row a step; the last leads to sigma 0 and adds no noise."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        sigma, sigma_next = path[:-1], path[1:]
        sigma_down, noise_std = down_and_up(sigma, sigma_next)
        return tabulate(
            EulerAncestralRow,
            t=t,
            **scalings(sigma),
            sigma_next=sigma_next,
            sigma_down=sigma_down,
            noise_std=noise_std,
        )

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
        x0 = DENOISED[self.prediction](x, out, row)
        mean = x + slope(x, x0, row.sigma) * (row.sigma_down - row.sigma)
        return with_noise(mean, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> EulerAncestral:
    return EulerAncestral(**common(c, dialect), respacing=respacing_of(c))


ENTRY = Entry(
    "euler_a",
    "EulerAncestralDiscreteScheduler",
    _build,
    order=1,
    good_for="variety: fresh noise in every step",
    read={**schedule_keys(), **ZERO_SNR, **LINSPACE, **EPS_V},
    options={**SPACING, **SIGMAS},
)
