"""Ancestral sampling: DDPM (2006.11239), over every step or every k-th (2102.09672)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import X0
from refdiff.diffusion.process import Posterior, posterior_coefficients
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
from refdiff.diffusion.samplers.timesteps import Spacing, Times, spaced, whole
from refdiff.diffusion.samplers.variances import LEARNED, Variance, fixed_std, learned_std, log
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect, Scale


class DdpmRow(NamedTuple):
    """x_s = of_x0 * x0 + of_xt * x_t + noise_std * z; with a learned std, that times noise_std."""

    t: int
    s: int
    alpha_bar: float
    of_x0: float
    of_xt: float
    noise_std: float
    log_small: float
    log_large: float


@dataclass(frozen=True)
class Ddpm(Stochastic, VariancePreserving):
    """DDPM. variance "small" is the posterior's, "large" is beta_t, learned ones the model's.

    A model that learned it says it in as many channels again, after those of x.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    variance: Variance = "small"
    correction: Correction = keep
    spacing: Spacing = "leading"
    offset: int = 0

    def plan(self, steps: int) -> Plan[DdpmRow]:
        """One row a step; the last leads to the clean data, s = -1."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = np.append(t[1:], -1)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, final=1.0)
        return self.table(t, s, a_t, posterior_coefficients(a_t, a_s), beta=1 - a_t / a_s)

    def table(self, t: Times, s: Times, a_t: Array, q: Posterior, beta: Array) -> Plan[DdpmRow]:
        """The plan from times, levels, posterior and beta: [rows] each."""
        refuse_undefined(self.prediction, a_t)
        small, noisy = np.asarray(q.variance), s >= 0
        if self.schedule.dialect == "diffusers":  # noises x at last too, unless t is 0 there
            small, noisy = np.maximum(small, 1e-20), t > 0
        std = fixed_std(self.variance, small, beta, self.schedule.dialect)
        return tabulate(
            DdpmRow,
            t=t,
            s=s,
            alpha_bar=a_t,
            of_x0=np.asarray(q.of_x0),
            of_xt=np.asarray(q.of_xt),
            noise_std=np.where(noisy, std, 0),
            log_small=log(small),
            log_large=log(beta),
        )

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of x, or twice its channels for a learned variance."""
        n, c, *rest = shape
        return (n, 2 * c, *rest) if self.variance in LEARNED else shape

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

        x [N,C,H,W], out [N,C,H,W] or [N,2C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        std: Scale = row.noise_std
        if self.variance in LEARNED:
            out, said = np.split(out, 2, axis=1)
            std = std * learned_std(self.variance, said, row, self.schedule.dialect)
        x0 = self.correction(X0[self.prediction](x, out, row.alpha_bar))
        mean = row.of_x0 * x0 + row.of_xt * x
        return with_noise(mean, std, noise), None


def _build(c: Values, dialect: Dialect) -> Ddpm:
    return Ddpm(
        **common(c, dialect),
        variance=c["variance_type"].removeprefix("fixed_"),
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
        "variance_type": choice(
            *("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
            *("learned", "learned_range"),
        ),
    },
)
