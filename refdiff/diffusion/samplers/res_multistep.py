"""RES, the refined exponential solver, as a multistep method (2308.02157), as in ComfyUI.

With lambda = -log(sigma) a step of length h solves dx/dlambda = x0 - x exactly where x0 is linear
in lambda, through this call's x0 and that of the call before, h_before earlier:

    x <- e^-h x + h phi_1 x0 + h phi_2 (h / h_before) (x0 - x0_before) + noise_std z
    phi_1 = (1 - e^-h) / h,    phi_2 = (1 - phi_1) / h

which is b_1 x0 + b_2 x0_before of the paper with c_2 = -h_before / h. The first step and the last,
to sigma 0, where h is infinite, leave the difference out, and are then Euler's. eta renews noise
at every step as in Euler ancestral: h and h_before lead to sigma_down then.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VarianceExploding
from refdiff.diffusion.samplers.keys import (
    EPS_X0_V,
    LINSPACE,
    RESPACED,
    Values,
    number,
    schedule_keys,
)
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.renewal import down_and_up
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings
from refdiff.diffusion.samplers.timesteps import Spacing
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class ResMultistepRow(NamedTuple):
    """of_x * x + of_x0 * x0 + of_change * (x0 - x0_before) + noise_std * z"""

    t: float
    sigma: float
    variance: float
    std: float
    of_x: float
    of_x0: float
    of_change: float
    noise_std: float


@dataclass(frozen=True)
class ResMultistep(Stochastic, VarianceExploding):
    """RES of second order, to sigma 0. eta 0 adds no noise, eta 1 as much as Euler ancestral."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    eta: float = 0.0

    def plan(self, steps: int) -> Plan[ResMultistepRow]:
        """One row a step; the last leads to sigma 0 and adds no noise."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        path = path.astype(np.float64)
        sigma_down, noise_std = down_and_up(path[:-1], path[1:], self.eta)
        of_x = sigma_down / path[:-1]  # e^-h
        with np.errstate(divide="ignore", invalid="ignore"):
            h = -np.log(of_x)
            phi_1 = (1 - of_x) / h
            of_change = (1 - phi_1) * (h / np.append(np.nan, h[:-1]))
        alone = (np.arange(len(h)) == 0) | (of_x == 0)
        return tabulate(
            ResMultistepRow,
            t=t,
            **scalings(path[:-1]),
            of_x=of_x,
            of_x0=1 - of_x,
            of_change=np.where(alone, 0, of_change),
            noise_std=noise_std,
        )

    def step(
        self,
        plan: Plan[ResMultistepRow],
        i: int,
        x: Array,
        out: Array,
        memory: Array | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Array]:
        """The exponential step; memory is the x0 before, without which the step is Euler's.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row)
        mean = row.of_x * x + row.of_x0 * x0
        if memory is not None:
            mean = mean + row.of_change * (x0 - memory)
        return with_noise(mean, row.noise_std, noise), x0


def _build(c: Values, dialect: Dialect) -> ResMultistep:
    return ResMultistep(**common(c, dialect), respacing=respacing_of(c), eta=c["eta"])


ENTRY = Entry(
    "res_multistep",
    "res_multistep",
    _build,
    order=2,
    good_for="few steps without noise, second order at one call a step",
    read={**schedule_keys(), **LINSPACE, **EPS_X0_V, **RESPACED},
    options={"eta": number(0.0, 0, 1, least=True)},
)
