"""DDIM walked backwards, from a picture to the noise it is made of (2010.02502, section 4.3).

Each row is a row of DDIM's with its arrow turned, from s up to t. The model is asked at t, where
DDIM asks it, though x is still at s: a round trip returns the picture but for what eps changes in
between, an error of first order in the step.
"""

from dataclasses import dataclass
from typing import NamedTuple

from refdiff.diffusion.prediction import EPS, X0
from refdiff.diffusion.samplers.build import common, correction_of, final_alpha_bar
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VariancePreserving
from refdiff.diffusion.samplers.keys import (
    CLIP,
    EPS_X0_V,
    OFFSET,
    ZERO_SNR,
    Values,
    choice,
    flag,
    optional_flag,
    schedule_keys,
)
from refdiff.diffusion.samplers.levels import alpha_bar_at, following, refuse_undefined
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import Spacing, spaced, whole
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect


class DdimInverseRow(NamedTuple):
    """x_t = of_x0 * x0 + of_eps * eps, from what the model says at t of x_s; alpha_bar is at s."""

    t: int
    s: int
    alpha_bar: float
    of_x0: float
    of_eps: float


@dataclass(frozen=True)
class DdimInverse(Deterministic, VariancePreserving):
    """DDIM inversion. final is alpha_bar of the picture that it starts from."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    final: float = 1.0
    correction: Correction = keep
    spacing: Spacing = "leading"
    offset: int = 0

    def plan(self, steps: int) -> Plan[DdimInverseRow]:
        """One row a step, times rising; the first starts from alpha_bar = final."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = following(self.schedule, t, steps)
        t, s = t[::-1], s[::-1]
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, self.final)
        refuse_undefined(self.prediction, a_s)
        return tabulate(
            DdimInverseRow, t=t, s=s, alpha_bar=a_s, of_x0=a_t**0.5, of_eps=(1 - a_t) ** 0.5
        )

    def step(
        self,
        plan: Plan[DdimInverseRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """sqrt(a_t) x0 + sqrt(1 - a_t) eps (2010.02502, eq. 12 without noise, t and s exchanged).

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(X0[self.prediction](x, out, row.alpha_bar))
        eps = EPS[self.prediction](x, out, row.alpha_bar)
        return row.of_x0 * x0 + row.of_eps * eps, None


def _build(c: Values, dialect: Dialect) -> DdimInverse:
    parts = common(c, dialect)
    if (older := c["set_alpha_to_zero"]) is not None:
        c = {**c, "set_alpha_to_one": older}
    final = final_alpha_bar(c, parts["schedule"])
    return DdimInverse(**parts, final=final, correction=correction_of(c))


ENTRY = Entry(
    "ddim_inverse",
    "DDIMInverseScheduler",
    _build,
    order=1,
    good_for="the noise that a given picture is made of",
    read={
        **schedule_keys(),
        **ZERO_SNR,
        **CLIP,
        "timestep_spacing": choice("leading", "trailing"),
        **OFFSET,
        **EPS_X0_V,
        "set_alpha_to_one": flag(True),
        "set_alpha_to_zero": optional_flag(),  # its older name, which wins
    },
)
