"""Heun's method on the probability flow in sigma (2206.00364, Algorithm 1).

d1 = dx/dsigma at (x, sigma),  x' = x + (sigma_next - sigma) d1
d2 = dx/dsigma at (x', sigma_next)
x <- x + (sigma_next - sigma) (d1 + d2) / 2
"""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.build import common, correction_of, respacing_of
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VarianceExploding
from refdiff.diffusion.samplers.keys import (
    EPS_X0_V,
    LINSPACE,
    RESPACED,
    Values,
    flag,
    number,
    schedule_keys,
)
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings, slope
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
class Heun(Deterministic, VarianceExploding):
    """Heun's method, second order with two calls a step; the last step is Euler's."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    correction: Correction = keep

    def plan(self, steps: int) -> Plan[StageRow]:
        """Two rows a step, but one for the last, which leads to sigma 0."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        length = np.diff(path)
        return tabulate(
            StageRow,
            t=interleaved(t, t[1:]),
            stage=stages(len(t)),
            **scalings(interleaved(path[:-1], path[1:-1])),
            length=interleaved(length, length[:-1]),
            noise_std=np.zeros(2 * len(t) - 1),
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
        """Euler's step, then the step along the mean of the slopes at its two ends.

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        A run may start at any row of stage 1, else ConfigError.
        """
        row = plan.rows[i]
        x0 = self.correction(DENOISED[self.prediction](x, out, row))
        if row.stage == 1:
            return first_stage(row, x, x0)
        begun = refuse_middle(memory)
        mean = (begun.slope + slope(x, x0, row.sigma)) / 2
        return second_stage(row, begun, mean, noise), None


def _build(c: Values, dialect: Dialect) -> Heun:
    return Heun(**common(c, dialect), respacing=respacing_of(c), correction=correction_of(c))


ENTRY = Entry(
    "heun",
    "HeunDiscreteScheduler",
    _build,
    order=2,
    good_for="exactness: EDM's own sampler, two calls a step",
    read={
        **schedule_keys(0.00085, 0.012, "linear", "exp"),
        **LINSPACE,
        **EPS_X0_V,
        **RESPACED,
        "clip_sample": flag(False),
        "clip_sample_range": number(1.0, 0, 1e6),
    },
    options=TIMESTEPS,
)
