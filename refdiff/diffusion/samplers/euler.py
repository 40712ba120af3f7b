"""Euler's method on the probability flow in sigma (2206.00364, Algorithm 2 without churn)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VarianceExploding
from refdiff.diffusion.samplers.keys import (
    END,
    EPS_X0_V,
    LINSPACE,
    RESPACED,
    SIGMA_ENDS,
    ZERO_SNR,
    Values,
    choice,
    schedule_keys,
)
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import (
    DENOISED,
    interpolated,
    log_linear,
    scalings,
    sigma_table,
    to_t,
)
from refdiff.diffusion.samplers.timesteps import Spacing, spaced
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class EulerRow(NamedTuple):
    """x + (x - x0) / sigma * (sigma_next - sigma)"""

    t: float
    sigma: float
    variance: float
    std: float
    sigma_next: float


@dataclass(frozen=True)
class Euler(Deterministic, VarianceExploding):
    """Euler. Sigma follows the times' spacing, unless `respacing` spaces it by itself.

    sigma_min and sigma_max bound a respacing in place of the spaced sigmas' own ends. With
    continuous_time the model is asked at log(sigma) / 4 (2206.00364, table 1, c_noise).
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    interpolation: Literal["linear", "log_linear"] = "linear"
    respacing: Respacing | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    final: Literal["zero", "sigma_min"] = "zero"
    continuous_time: bool = False

    def plan(self, steps: int) -> Plan[EulerRow]:
        """One row a step; the last leads to sigma 0, or to the schedule's smallest.

        log_linear sigmas are one more than the steps: without respacing the extra one takes the
        end's place, or in continuous time, which follows the sigmas, has a row of its own.
        """
        table = sigma_table(self.schedule)
        t = spaced(self.schedule, steps, self.spacing, self.offset).astype(table.dtype)
        sigma: Array = interpolated(table, t)
        if self.interpolation == "log_linear":
            sigma = log_linear(table, steps + 1, self.schedule.dialect)
        if self.respacing is not None:
            first, last = self.sigma_max or float(sigma[0]), self.sigma_min or float(sigma[-1])
            sigma = self.respacing(first, last, steps)
            t = to_t(table, sigma)
        end = table[0] if self.final == "sigma_min" else 0.0
        path = np.append(sigma, end).astype(table.dtype)
        if self.continuous_time:
            t = 0.25 * np.log(path[:-1])
        path = path[: len(t) + 1]
        return tabulate(
            EulerRow,
            t=t.astype(table.dtype).astype(np.float64),
            **scalings(path[:-1]),
            sigma_next=path[1:],
        )

    def step(
        self,
        plan: Plan[EulerRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """x + (sigma_next - sigma) dx/dsigma, dx/dsigma = (x - x0) / sigma (2206.00364, eq. 4).

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row)
        return x + (x - x0) / row.sigma * (row.sigma_next - row.sigma), None


def _build(c: Values, dialect: Dialect) -> Euler:
    return Euler(
        **common(c, dialect),
        interpolation=c["interpolation_type"],
        respacing=respacing_of(c),
        sigma_min=c["sigma_min"],
        sigma_max=c["sigma_max"],
        final=c["final_sigmas_type"],
        continuous_time=c["timestep_type"] == "continuous"
        and c["prediction_type"] == "v_prediction",
    )


ENTRY = Entry(
    "euler",
    "EulerDiscreteScheduler",
    _build,
    order=1,
    good_for="the simplest that works, and what SDXL ships with",
    read={
        **schedule_keys(),
        **ZERO_SNR,
        **LINSPACE,
        **EPS_X0_V,
        **RESPACED,
        **SIGMA_ENDS,
        **END,
        "interpolation_type": choice("linear", "log_linear"),
        "timestep_type": choice("discrete", "continuous"),
    },
)
