"""Latent consistency models (2310.04378): jump to the data in one call, noise them, jump again.

The consistency function f maps any x_t of a path to its x_0 (2303.01469, eq. 5):

    f(x, t) = c_skip(t) x + c_out(t) x0(x, t)
    c_skip = sd^2 / ((k t)^2 + sd^2),  c_out = k t / sqrt((k t)^2 + sd^2),  sd = 1/2, k = 10

so that f(x, 0) = x. Between jumps x_s = sqrt(a_s) f + sqrt(1 - a_s) z (2310.04378, Algorithm 3).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import X0
from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.build import correction_of, schedule_of
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.distilled import DISTILLED, STRENGTH, distilled
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VariancePreserving
from refdiff.diffusion.samplers.keys import Values
from refdiff.diffusion.samplers.levels import alpha_bar_at, refuse_undefined, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class LcmRow(NamedTuple):
    """x_s = of_f * (c_skip * x + c_out * x0) + noise_std * z"""

    t: int
    s: int
    alpha_bar: float
    c_skip: float
    c_out: float
    of_f: float
    noise_std: float


@dataclass(frozen=True)
class Lcm(Stochastic, VariancePreserving):
    """LCM. original: steps of the solver it was distilled from; scaling: k above.

    strength: the share of the solver's path that is walked, from the data up.
    times: those to jump from, where they are none of the solver's.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    original: int = 50
    scaling: float = 10.0
    strength: float = 1.0
    times: tuple[int, ...] = ()
    correction: Correction = keep

    def plan(self, steps: int) -> Plan[LcmRow]:
        """One row a jump; the last ends at f and adds no noise, s = -1."""
        t = distilled(self.schedule, steps, self.original, self.strength, self.times)
        s = np.append(t[1:], -1)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, final=1.0)
        refuse_undefined(self.prediction, a_t)
        scaled = t.astype(a_t.dtype) * a_t.dtype.type(self.scaling)
        return tabulate(
            LcmRow,
            t=t,
            s=s,
            alpha_bar=a_t,
            c_skip=0.25 / (scaled**2 + 0.25),
            c_out=scaled / np.sqrt(scaled**2 + 0.25),
            of_f=np.sqrt(a_s),
            noise_std=np.sqrt(1 - a_s),
        )

    def step(
        self,
        plan: Plan[LcmRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """sqrt(a_s) f(x, t) + sqrt(1 - a_s) z (2310.04378, Algorithm 3).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(X0[self.prediction](x, out, row.alpha_bar))
        f = row.c_out * x0 + row.c_skip * x
        return with_noise(row.of_f * f, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> Lcm:
    return Lcm(
        schedule_of(c, dialect),
        c["prediction_type"],
        original=c["original_inference_steps"],
        scaling=c["timestep_scaling"],
        strength=c["strength"],
        times=tuple(c["timesteps"] or ()),
        correction=correction_of(c),
    )


ENTRY = Entry(
    "lcm",
    "LCMScheduler",
    _build,
    order=0,  # a jump is as good as the model: more of them are not a finer path
    good_for="consistency models, in 1 to 8 steps",
    read=DISTILLED,
    options={**STRENGTH, **TIMESTEPS},
)
