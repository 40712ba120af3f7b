"""Ancestral sampling: DDPM (2006.11239), over every step or every k-th (2102.09672)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion.prediction import X0
from refdiff.diffusion.process import posterior_coefficients
from refdiff.diffusion.samplers.beyond import SPACING
from refdiff.diffusion.samplers.build import common, correction_of
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VariancePreserving
from refdiff.diffusion.samplers.keys import (
    CLIP,
    EPS_X0_V,
    LEADING,
    THRESHOLD,
    ZERO_SNR,
    Values,
    choice,
    schedule_keys,
)
from refdiff.diffusion.samplers.levels import alpha_bar_at, refuse_undefined, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import Spacing, spaced, whole
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class DdpmRow(NamedTuple):
    """x_s = of_x0 * x0 + of_xt * x_t + noise_std * z"""

    t: int
    s: int
    alpha_bar: float
    of_x0: float
    of_xt: float
    noise_std: float


@dataclass(frozen=True)
class Ddpm(Stochastic, VariancePreserving):
    """DDPM. variance "small" is the posterior's, "large" is beta_t (2006.11239, section 3.2)."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    variance: Literal["small", "large"] = "small"
    correction: Correction = keep
    spacing: Spacing = "leading"
    offset: int = 0

    def plan(self, steps: int) -> Plan[DdpmRow]:
        """One row a step; the last leads to the clean data, s = -1."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = np.append(t[1:], -1)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, final=1.0)
        refuse_undefined(self.prediction, a_t)
        q = posterior_coefficients(a_t, a_s)
        small, noisy = np.asarray(q.variance), s >= 0
        if self.schedule.dialect == "diffusers":  # noises x at last too, unless t is 0 there
            small, noisy = np.maximum(small, 1e-20), t > 0
        variance = small if self.variance == "small" else 1 - a_t / a_s
        return tabulate(
            DdpmRow,
            t=t,
            s=s,
            alpha_bar=a_t,
            of_x0=np.asarray(q.of_x0),
            of_xt=np.asarray(q.of_xt),
            noise_std=np.where(noisy, np.sqrt(variance), 0),
        )

    def step(
        self,
        plan: Plan[DdpmRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """x_s ~ q(x_s | x_t, x0) with the x0 that out implies (2006.11239, Algorithm 2, eq. 7).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(X0[self.prediction](x, out, row.alpha_bar))
        mean = row.of_x0 * x0 + row.of_xt * x
        return with_noise(mean, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> Ddpm:
    return Ddpm(
        **common(c, dialect),
        variance="large" if c["variance_type"] == "fixed_large" else "small",
        correction=correction_of(c),
    )


ENTRY = Entry(
    "ddpm",
    "DDPMScheduler",
    _build,
    order=1,
    good_for="the original: many steps, with noise in each",
    read={
        **schedule_keys(0.0001, 0.02, "linear", "sigmoid"),
        **ZERO_SNR,
        **CLIP,
        **THRESHOLD,
        **LEADING,
        **EPS_X0_V,
        "variance_type": choice("fixed_small", "fixed_small_log", "fixed_large"),
    },
    options=SPACING,
)
