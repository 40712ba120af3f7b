"""DPM-Solver++ for the SDE, one step of two calls at a time, along a Brownian path.

Katherine Crowson's k-diffusion, sample_dpmpp_sde: 2206.00927's Algorithm 1 (r = 1/2) in the data
prediction of 2211.01095, on the ancestral SDE. Of a step from sigma to sigma_next both calls go
from sigma, the first to the middle of lambda = -log(sigma), the second to the end:

    x <- sigma_down / sigma x - (sigma_down / sigma - 1) x0 + noise_std z

with sigma_down^2 + noise_std^2 = the square of where the call goes. z is the path's increment over
that interval, divided by its root, so that the path does not depend on the number of steps.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VarianceExploding
from refdiff.diffusion.samplers.keys import (
    EPS_V,
    LINSPACE,
    RESPACED,
    Values,
    integer,
    number,
    schedule_keys,
)
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.renewal import down_and_up
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings, sigma_table, slope, to_t
from refdiff.diffusion.samplers.timesteps import Spacing
from refdiff.diffusion.samplers.two_stages import interleaved, refuse_middle, stages
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class DpmSdeRow(NamedTuple):
    """of_x * x + of_x0 * x0 + noise_std * z, x from where the step began; z from noise_from to _to.

    The last row, to sigma 0, is Euler's: there the level is noise_to = 0.
    """

    t: float
    stage: int
    sigma: float
    variance: float
    std: float
    of_x: float
    of_x0: float
    noise_std: float
    noise_from: float
    noise_to: float


@dataclass(frozen=True)
class DpmSde(Stochastic, VarianceExploding):
    """DPM-Solver++ SDE, two calls a step; the last step is Euler's.

    noise_seed: of the Brownian path, for those who draw it; else the run's own seed.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    s_noise: float = 1.0
    noise_seed: int | None = None

    def plan(self, steps: int) -> Plan[DpmSdeRow]:
        """Two rows a step, but one for the last, which leads to sigma 0 and adds no noise."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing, True)
        lambda_ = -rounded.log(path[:-1])
        here, then = lambda_[:-1], lambda_[1:]
        middle = here + (then - here) * 0.5
        start, half = rounded.exp(-lambda_), rounded.exp(-middle)
        logs = np.log(path[:-1].astype(np.float64))
        exact = np.exp((logs[:-1] + logs[1:]) / 2)
        goes_to = interleaved(np.append(half, half.dtype.type(0)), rounded.exp(-then))
        starts = np.repeat(start, 2)[:-1]
        down, up = down_and_up(starts[:-1], goes_to[:-1])
        # diffusers never renews more than there is
        up = np.minimum(up, goes_to[:-1])
        fall = np.repeat(lambda_, 2)[:-2] + rounded.log(down)
        return tabulate(
            DpmSdeRow,
            t=interleaved(t, to_t(sigma_table(self.schedule), exact)),
            stage=stages(len(t)),
            **scalings(interleaved(path[:-1], half)),
            of_x=np.append(rounded.exp(rounded.log(down)) / starts[:-1], 0),
            of_x0=np.append(-rounded.expm1(fall), 1),
            noise_std=np.append(self.s_noise * up, 0),
            noise_from=starts,
            noise_to=goes_to,
        )

    def step(
        self,
        plan: Plan[DpmSdeRow],
        i: int,
        x: Array,
        out: Array,
        memory: Array | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Array | None]:
        """To the middle, and from where that began to the end with what the middle showed.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        A run may start at any row of stage 1, else ConfigError.
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row)
        if row.noise_to == 0:
            return x + slope(x, x0, row.sigma) * -row.sigma, None
        begun = x if row.stage == 1 else refuse_middle(memory)
        mean = row.of_x * begun + row.of_x0 * x0
        return with_noise(mean, row.noise_std, noise), begun if row.stage == 1 else None


def _build(c: Values, dialect: Dialect) -> DpmSde:
    return DpmSde(
        **common(c, dialect),
        respacing=respacing_of(c),
        s_noise=c["s_noise"],
        noise_seed=c["noise_sampler_seed"],
    )


ENTRY = Entry(
    "dpm++_sde",
    "DPMSolverSDEScheduler",
    _build,
    order=1,
    good_for="detail in few steps, at two calls a step",
    read={
        **schedule_keys(0.00085, 0.012),
        **LINSPACE,
        **EPS_V,
        **RESPACED,
        "noise_sampler_seed": integer(None, 0, 2**63 - 1),
    },
    options={"s_noise": number(1.0, 0, 1e6, least=True)},
)
