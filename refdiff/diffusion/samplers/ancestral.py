"""Ancestral sampling: draw x_s from the posterior that the model's x0 implies (2006.11239, eq. 6).

    x_s ~ N(of_x0 x0 + of_xt x_t, Sigma)

DDPM and unCLIP differ in their times and in what they call beta.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import X0
from refdiff.diffusion.process import Posterior
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.families import Stochastic, VariancePreserving
from refdiff.diffusion.samplers.levels import refuse_undefined, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import Times
from refdiff.diffusion.samplers.variances import LEARNED, Variance, fixed_std, learned_std, log
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Scale


class AncestralRow(NamedTuple):
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
class Ancestral(Stochastic, VariancePreserving):
    """The step and its table. variance "small" is the posterior's, "large" is beta_t.

    A model that learned it says it in as many channels again, after those of x.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    variance: Variance = "small"
    correction: Correction = keep

    def table(
        self, t: Times, s: Times, a_t: Array, q: Posterior, beta: Array
    ) -> Plan[AncestralRow]:
        """The plan from times, levels, posterior and beta: [rows] each."""
        refuse_undefined(self.prediction, a_t)
        small, noisy = np.asarray(q.variance), s >= 0
        if self.schedule.dialect == "diffusers":  # noises x at last too, unless t is 0 there
            small, noisy = np.maximum(small, 1e-20), t > 0
        std = fixed_std(self.variance, small, beta, self.schedule.dialect)
        return tabulate(
            AncestralRow,
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
        plan: Plan[AncestralRow],
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
