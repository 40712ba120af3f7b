"""Denoising diffusion: DDPM (2006.11239), over every step or every k-th (2102.09672)."""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.process import posterior_coefficients
from refdiff.diffusion.samplers.ancestral import Ancestral, AncestralRow
from refdiff.diffusion.samplers.beyond import SPACING, TIMESTEPS
from refdiff.diffusion.samplers.build import common, correction_of
from refdiff.diffusion.samplers.entry import Entry
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
from refdiff.diffusion.samplers.levels import alpha_bar_at
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.timesteps import Spacing, spaced, whole
from refdiff.diffusion.types import Dialect


@dataclass(frozen=True)
class Ddpm(Ancestral):
    """DDPM, at spaced times."""

    spacing: Spacing = "leading"
    offset: int = 0

    def plan(self, steps: int) -> Plan[AncestralRow]:
        """One row a step; the last leads to the clean data, s = -1."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = np.append(t[1:], -1)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, final=1.0)
        return self.table(t, s, a_t, posterior_coefficients(a_t, a_s), beta=1 - a_t / a_s)


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
    options={**TIMESTEPS, **SPACING},
)
