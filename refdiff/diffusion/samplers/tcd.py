"""Trajectory consistency distillation (2402.19159): jump along the path, past the next time, noise.

A trajectory consistency function goes from x_t to any x_u of the path. Strategic stochastic
sampling with gamma in [0, 1] goes to u = (1 - gamma) s, below the next time s, and climbs the rest
by noise, as q does:

    x_u = sqrt(a_u) x0 + sqrt(1 - a_u) eps
    x_s = sqrt(a_s / a_u) x_u + sqrt(1 - a_s / a_u) z

gamma = 0 is DDIM, gamma = 1 is multistep consistency sampling, as LCM's. diffusers calls it eta.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import EPS, X0
from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.build import final_alpha_bar, schedule_of
from refdiff.diffusion.samplers.distilled import DISTILLED, STRENGTH, distilled
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VariancePreserving
from refdiff.diffusion.samplers.keys import Values, number
from refdiff.diffusion.samplers.levels import alpha_bar_at, refuse_undefined, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class TcdRow(NamedTuple):
    """x_s = of_xu * (of_x0 * x0 + of_eps * eps) + noise_std * z"""

    t: int
    s: int
    u: int
    alpha_bar: float
    of_x0: float
    of_eps: float
    of_xu: float
    noise_std: float


@dataclass(frozen=True)
class Tcd(Stochastic, VariancePreserving):
    """TCD. original: steps of the solver it was distilled from; final: alpha_bar at the end.

    strength: the share of the solver's path that is walked, from the data up.
    times: those to jump from, where they are none of the solver's.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    gamma: float = 0.3
    final: float = 1.0
    original: int = 50
    strength: float = 1.0
    times: tuple[int, ...] = ()

    def plan(self, steps: int) -> Plan[TcdRow]:
        """One row a jump; the last adds no noise. diffusers ends at time 0, whatever is final."""
        t = distilled(self.schedule, steps, self.original, self.strength, self.times)
        s = np.append(t[1:], 0 if self.schedule.dialect == "diffusers" else -1)
        precision = self.schedule.alpha_bar.dtype
        u = np.floor(precision.type(1 - self.gamma) * s.astype(precision)).astype(np.int64)
        u = np.minimum(u, s)  # of the data themselves, s = -1, no share is left to climb
        a_t = alpha_bar_at(self.schedule, t)
        a_s, a_u = (alpha_bar_at(self.schedule, v, self.final) for v in (s, u))
        refuse_undefined(self.prediction, a_t)
        return tabulate(
            TcdRow,
            t=t,
            s=s,
            u=u,
            alpha_bar=a_t,
            of_x0=np.sqrt(a_u),
            of_eps=np.sqrt(1 - a_u),
            of_xu=np.sqrt(a_s / a_u),
            noise_std=np.sqrt(1 - a_s / a_u),
        )

    def step(
        self,
        plan: Plan[TcdRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """Down to x_u by what the model says, up to x_s by noise (2402.19159, section 4.2).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = X0[self.prediction](x, out, row.alpha_bar)
        eps = EPS[self.prediction](x, out, row.alpha_bar)
        x_u = row.of_x0 * x0 + row.of_eps * eps
        return with_noise(row.of_xu * x_u, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> Tcd:
    schedule = schedule_of(c, dialect)
    return Tcd(
        schedule,
        c["prediction_type"],
        gamma=c["eta"],
        final=final_alpha_bar(c, schedule),
        original=c["original_inference_steps"],
        strength=c["strength"],
        times=tuple(c["timesteps"] or ()),
    )


ENTRY = Entry(
    "tcd",
    "TCDScheduler",
    _build,
    order=0,  # a jump is as good as the model: more of them are not a finer path
    good_for="trajectory consistency models, in 2 to 20 steps",
    read=DISTILLED,
    options={"eta": number(0.3, 0, 1, least=True), **STRENGTH, **TIMESTEPS},
)
