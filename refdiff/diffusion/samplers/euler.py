"""Euler's method on the probability flow in sigma, with churn (2206.00364, Algorithm 2, no Heun).

From sigma up to sigma_hat with fresh noise, where s_churn asks for that, then down to sigma_next:

    x <- x_hat + (x_hat - x0) / sigma_hat * (sigma_next - sigma_hat)
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion.samplers import keys
from refdiff.diffusion.samplers.beyond import SIGMAS, SPACING, TIMESTEPS
from refdiff.diffusion.samplers.build import common, refuse_times, respacing_of
from refdiff.diffusion.samplers.churn import CHURN, NO_CHURN, Churn, Churned, churn_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import VarianceExploding
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import (
    DENOISED,
    interpolated,
    log_linear,
    scalings,
    sigma_table,
    slope,
    to_t,
)
from refdiff.diffusion.samplers.timesteps import Spacing, spaced
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class EulerRow(NamedTuple):
    """The model is asked at sigma, which on paper is sigma_hat; the step begins at sigma_hat."""

    t: float
    sigma: float
    variance: float
    std: float
    sigma_hat: float
    sigma_next: float
    noise_before: float
    noise_after: float


@dataclass(frozen=True)
class Euler(Churned, VarianceExploding):
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
    churn: Churn = NO_CHURN

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
        path = np.append(sigma, table[0] if self.final == "sigma_min" else 0.0).astype(table.dtype)
        rows = len(sigma) if self.continuous_time else len(t)
        levels = self.churn.columns(path[: rows + 1], len(sigma), self.schedule.dialect)
        sigma = levels.pop("sigma")
        if self.continuous_time:
            t = 0.25 * np.log(sigma)
        elif self.schedule.dialect == "paper":
            t = np.where(sigma > path[:rows], to_t(table, sigma), t)
        return tabulate(EulerRow, t=t.astype(table.dtype), **scalings(sigma), **levels)

    def step(
        self,
        plan: Plan[EulerRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """x_hat + (sigma_next - sigma_hat) dx/dsigma at x_hat, which is x with churn's noise.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x_hat = with_noise(x, row.noise_before, noise)
        # diffusers converts v as if there were no churn; on paper the two sigmas are one
        level = row if self.prediction == "v_prediction" else row._replace(sigma=row.sigma_hat)
        x0 = DENOISED[self.prediction](x_hat, out, level)
        x = x_hat + slope(x_hat, x0, row.sigma_hat) * (row.sigma_next - row.sigma_hat)
        return with_noise(x, row.noise_after, noise), None


def _build(c: keys.Values, dialect: Dialect) -> Euler:
    continuous = c["timestep_type"] == "continuous" and c["prediction_type"] == "v_prediction"
    if continuous:
        refuse_times(c, "timestep_type continuous")
    return Euler(
        **common(c, dialect),
        interpolation=c["interpolation_type"],
        respacing=respacing_of(c),
        sigma_min=c["sigma_min"],
        sigma_max=c["sigma_max"],
        final=c["final_sigmas_type"],
        continuous_time=continuous,
        churn=churn_of(c),
    )


ENTRY = Entry(
    "euler",
    "EulerDiscreteScheduler",
    _build,
    order=1,
    good_for="the simplest that works, and what SDXL ships with",
    read={
        **keys.schedule_keys(),
        **keys.ZERO_SNR,
        **keys.LINSPACE,
        **keys.EPS_X0_V,
        **keys.RESPACED,
        **keys.SIGMA_ENDS,
        **keys.END,
        "interpolation_type": keys.choice("linear", "log_linear"),
        "timestep_type": keys.choice("discrete", "continuous"),
    },
    options={**CHURN, **TIMESTEPS, **SPACING, **SIGMAS},
)
