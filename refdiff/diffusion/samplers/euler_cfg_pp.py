"""CFG++ with Euler's method (2406.08070, algorithm 2): guide the data, renoise without guidance.

As ComfyUI's euler_cfg_pp. Where Euler goes from sigma to sigma_next along the guided noise, CFG++
takes only x0 from the guided output and the noise from the unconditional one:

    x <- x0_guided + sigma_down (x - x0_uncond) / sigma + noise_std z

With x0_guided = x0_uncond + scale (x0_cond - x0_uncond) a deterministic step is Euler's under the
greater guidance scale / (1 - sigma_next / sigma). So a scale in [0, 1] is enough, 0.6 where it was
7.5 and 1 where it was 12.5 (table 1). eta 1 renews the noise as in Euler ancestral (ComfyUI's
euler_ancestral_cfg_pp).
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


class EulerCfgPpRow(NamedTuple):
    """x0_guided + (x - x0_uncond) / sigma * sigma_down + noise_std * z"""

    t: float
    sigma: float
    variance: float
    std: float
    sigma_down: float
    noise_std: float


@dataclass(frozen=True)
class EulerCfgPp(Stochastic, VarianceExploding):
    """CFG++ to sigma 0. The model says two things: see `guidance.with_uncond`."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    eta: float = 0.0

    def plan(self, steps: int) -> Plan[EulerCfgPpRow]:
        """One row a step; the last leads to sigma 0 and adds no noise."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        path = path.astype(np.float64)
        sigma_down, noise_std = down_and_up(path[:-1], path[1:], self.eta)
        return tabulate(
            EulerCfgPpRow,
            t=t,
            **scalings(path[:-1]),
            sigma_down=sigma_down,
            noise_std=noise_std,
        )

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Twice the samples of x: the unconditional outputs, then the guided ones."""
        return (2 * shape[0], *shape[1:])

    def step(
        self,
        plan: Plan[EulerCfgPpRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """The guided x0, noised again with the unconditional noise (2406.08070, algorithm 2).

        x [N,C,H,W], out [2N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row, denoised = plan.rows[i], DENOISED[self.prediction]
        uncond, guided = np.split(out, 2)
        slope = (x - denoised(x, uncond, row)) / row.sigma
        mean = denoised(x, guided, row) + slope * row.sigma_down
        return with_noise(mean, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> EulerCfgPp:
    return EulerCfgPp(**common(c, dialect), respacing=respacing_of(c), eta=c["eta"])


ENTRY = Entry(
    "euler_cfg_pp",
    "euler_cfg_pp",
    _build,
    order=1,
    good_for="guidance below 1 that does not burn colours (CFG++)",
    read={**schedule_keys(), **LINSPACE, **EPS_X0_V, **RESPACED},
    options={"eta": number(0.0, 0, 1, least=True)},
)
