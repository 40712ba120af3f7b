"""Pseudo numerical methods: PNDM (2202.09778), Stable Diffusion 1.5's own sampler.

The model's eps at several times are blended as a classical method blends slopes, then one
DDIM-like transfer step is taken with the blend. Two ways to begin, when there is no past yet:

- runge_kutta: three steps by the classical fourth-order method, of four calls each (F-PNDM);
- else one step taken twice, improved with the slope at its end (PLMS, S-PNDM's first step).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import EPS
from refdiff.diffusion.samplers.blends import ROLES, Memory
from refdiff.diffusion.samplers.build import common, final_alpha_bar
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VariancePreserving
from refdiff.diffusion.samplers.keys import EPS_V, LEADING, Values, flag, schedule_keys
from refdiff.diffusion.samplers.levels import alpha_bar_at, following
from refdiff.diffusion.samplers.openings import improved, runge_kutta
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import Spacing, spaced, whole
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class PndmRow(NamedTuple):
    """The model is asked at t; its answer, blended by the role's rule, leads from start to s."""

    t: int
    start: int
    s: int
    alpha_bar: float
    alpha_bar_start: float
    alpha_bar_s: float
    role: str


def transfer(x: Array, eps: Array, alpha_bar_t: float, alpha_bar_s: float) -> Array:
    """From t to s along eps (2202.09778, eqs. 9 and 11). x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
    a_t, a_s = alpha_bar_t, alpha_bar_s
    slope = (a_s - a_t) / (a_t * (1 - a_s) ** 0.5 + (a_t * (1 - a_t) * a_s) ** 0.5)
    return (a_s / a_t) ** 0.5 * x - slope * eps


@dataclass(frozen=True)
class Pndm(Deterministic, VariancePreserving):
    """PNDM. final is alpha_bar at the end: 1 is the data's, SD 1.5 has the schedule's first."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    final: float = 1.0
    runge_kutta: bool = False
    spacing: Spacing = "leading"
    offset: int = 0

    def plan(self, steps: int) -> Plan[PndmRow]:
        """One row a call: steps + 1 of them, or steps + 9 with three Runge-Kutta steps."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = following(self.schedule, t, steps)
        rows = runge_kutta(t, s, self.schedule.dialect) if self.runge_kutta else improved(t, s)
        done = 3 if self.runge_kutta else 1
        rows += [(now, now, then, "adams-bashforth") for now, then in zip(t, s, strict=True)][done:]
        asked, start, to = (np.array([row[k] for row in rows]) for k in range(3))
        alpha_bar_start = alpha_bar_at(self.schedule, start)
        if np.any(alpha_bar_start == 0):
            raise ConfigError(
                "the plan steps out of alpha_bar = 0, pure noise, which PNDM divides by: "
                "choose a schedule that ends above it, or a ddim sampler"
            )
        return tabulate(
            PndmRow,
            t=asked,
            start=start,
            s=to,
            alpha_bar=alpha_bar_at(self.schedule, asked),
            alpha_bar_start=alpha_bar_start,
            alpha_bar_s=alpha_bar_at(self.schedule, to, self.final),
            role=[row[3] for row in rows],
        )

    def step(
        self,
        plan: Plan[PndmRow],
        i: int,
        x: Array,
        out: Array,
        memory: Memory | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Memory | None]:
        """The transfer along the blended slope, by the rule that the row names.

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        On paper slopes are eps. diffusers blends whatever the model predicts and takes the blend
        for a prediction at the step's start, which makes v_prediction a first-order method.
        A run may start at any row but the later stages of a Runge-Kutta step, else ConfigError.
        """
        row, to_eps = plan.rows[i], EPS[self.prediction]
        if row.role == "improve" and memory is None:
            return x, None  # a run that starts here has no step to improve: row i + 1 is its first
        if self.schedule.dialect == "paper":
            eps, memory = ROLES[row.role](x, to_eps(x, out, row.alpha_bar), memory)
        else:
            blend, memory = ROLES[row.role](x, out, memory)
            eps = to_eps(memory.x, blend, row.alpha_bar_start)
        return transfer(memory.x, eps, row.alpha_bar_start, row.alpha_bar_s), memory


def _build(c: Values, dialect: Dialect) -> Pndm:
    parts = common(c, dialect)
    final = final_alpha_bar(c, parts["schedule"])
    return Pndm(**parts, final=final, runge_kutta=not c["skip_prk_steps"])


ENTRY = Entry(
    "pndm",
    "PNDMScheduler",
    _build,
    order=2,
    good_for="what Stable Diffusion 1 ships with",
    read={
        **schedule_keys(),
        **LEADING,
        **EPS_V,
        "set_alpha_to_one": flag(False),
        "skip_prk_steps": flag(False),
    },
)
