"""DPM-Solver-2 in sigma, with the midpoint in log(sigma), and its ancestral form.

Katherine Crowson's k-diffusion, sample_dpm_2 and sample_dpm_2_ancestral: Algorithm 2 of 2206.00364
with the second call where 2206.00927, Algorithm 1, has it, half way in lambda = -log(sigma):

    d1 = dx/dsigma at (x, sigma),  sigma' = sqrt(sigma sigma_down),  x' = x + (sigma' - sigma) d1
    d2 = dx/dsigma at (x', sigma')
    x <- x + (sigma_down - sigma) d2 + noise_std z

sigma_down is sigma_next and noise_std 0, unless fresh noise takes x up to sigma_next again.
"""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VarianceExploding
from refdiff.diffusion.samplers.keys import EPS_V, LINSPACE, RESPACED, Values, schedule_keys
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.renewal import down_and_up
from refdiff.diffusion.samplers.respacing import Respacing, karras
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings, sigma_table, slope, to_t
from refdiff.diffusion.samplers.timesteps import Spacing
from refdiff.diffusion.samplers.two_stages import (
    Begun,
    StageRow,
    first_stage,
    interleaved,
    refuse_middle,
    second_stage,
    stages,
)
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


@dataclass(frozen=True)
class Kdpm2(Stochastic, VarianceExploding):
    """DPM-Solver-2, two calls a step; ancestral: with fresh noise. The last step is Euler's."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    ancestral: bool = False

    def plan(self, steps: int) -> Plan[StageRow]:
        """Two rows a step, but one for the last, which leads to sigma 0."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        if self.respacing is karras and self.schedule.dialect == "diffusers":
            t = np.round(t)
        sigma = path[:-1]
        down, up = down_and_up(sigma, path[1:], 1.0 if self.ancestral else 0.0)
        ends = rounded.log(sigma[:-1]), rounded.log(down[:-1])
        middle = rounded.exp(_half_way(*(ends[::-1] if self.ancestral else ends)))
        asked = to_t(sigma_table(self.schedule), middle).astype(t.dtype)
        trial = np.append(middle, middle.dtype.type(0)) - sigma
        return tabulate(
            StageRow,
            t=interleaved(t, asked),
            stage=stages(len(t)),
            **scalings(interleaved(sigma, middle)),
            length=interleaved(trial, (down - sigma)[:-1]),
            noise_std=interleaved(np.zeros_like(up), up[:-1]),
        )

    def step(
        self,
        plan: Plan[StageRow],
        i: int,
        x: Array,
        out: Array,
        memory: Begun | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Begun | None]:
        """Euler's step half way, then the whole step along the slope there.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        A run may start at any row of stage 1, else ConfigError.
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row)
        if row.stage == 1:
            return first_stage(row, x, x0)
        return second_stage(row, refuse_middle(memory), slope(x, x0, row.sigma), noise), None


def _half_way(a: Array, b: Array) -> Array:
    """The mean, as torch.lerp computes it: a [rows], b [rows] -> [rows]"""
    return a - (a - b) * 0.5


def _build(c: Values, dialect: Dialect) -> Kdpm2:
    return Kdpm2(**common(c, dialect), respacing=respacing_of(c))


def _build_ancestral(c: Values, dialect: Dialect) -> Kdpm2:
    return Kdpm2(**common(c, dialect), respacing=respacing_of(c), ancestral=True)


_READ = {**schedule_keys(0.00085, 0.012), **LINSPACE, **EPS_V, **RESPACED}
ENTRY = Entry(
    "kdpm2",
    "KDPM2DiscreteScheduler",
    _build,
    order=2,
    good_for="exactness, as k-diffusion's dpm_2",
    read=_READ,
)
ANCESTRAL = Entry(
    "kdpm2_a",
    "KDPM2AncestralDiscreteScheduler",
    _build_ancestral,
    order=1,
    good_for="variety at two calls a step, as k-diffusion's dpm_2_ancestral",
    read=_READ,
)
