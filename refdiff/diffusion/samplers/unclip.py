"""unCLIP's way with DDPM (2204.06125), as Karlo has it: the cosine schedule, from its very end."""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.process import posterior_coefficients, posterior_of_step
from refdiff.diffusion.samplers.ancestral import Ancestral, AncestralRow
from refdiff.diffusion.samplers.build import correction_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import CLIP, Values, choice, integer
from refdiff.diffusion.samplers.levels import alpha_bar_at
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.timesteps import spaced, whole
from refdiff.diffusion.schedule import MAX_STEPS, NoiseSchedule
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError


@dataclass(frozen=True)
class UnClip(Ancestral):
    """DDPM from T - 1 to 0 in equal steps."""

    def plan(self, steps: int) -> Plan[AncestralRow]:
        """One row a step, two or more; the last leads to the clean data, s = -1.

        diffusers takes beta from the schedule where a step is one of training's, and alpha = 1 -
        beta always, which rounds otherwise than DDPM's alpha_bar_t / alpha_bar_s.
        """
        t = whole(spaced(self.schedule, steps, "linspace", 0), self.schedule)
        if steps == 1:
            raise ConfigError(
                "1 step was asked of unCLIP, expected 2 or more, from one end of the schedule to "
                "the other: take more steps"
            )
        s = np.append(t[1:], -1)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, final=1.0)
        beta = 1 - a_t / a_s
        if self.schedule.dialect == "paper":
            return self.table(t, s, a_t, posterior_coefficients(a_t, a_s), beta)
        beta = np.where(s == t - 1, self.schedule.betas[t].astype(a_t.dtype), beta)
        return self.table(t, s, a_t, posterior_of_step(1 - beta, beta, a_t, a_s), beta)


def _build(c: Values, dialect: Dialect) -> UnClip:
    return UnClip(
        NoiseSchedule.cosine(c["num_train_timesteps"], dialect=dialect),
        c["prediction_type"],
        variance=c["variance_type"].removeprefix("fixed_"),
        correction=correction_of(c),
    )


ENTRY = Entry(
    "unclip",
    "UnCLIPScheduler",
    _build,
    order=1,
    good_for="unCLIP's priors and decoders, such as Karlo's",
    read={
        "num_train_timesteps": integer(1000, 1, MAX_STEPS),
        "beta_schedule": choice("squaredcos_cap_v2"),
        **CLIP,
        "prediction_type": choice("epsilon", "sample"),
        "variance_type": choice("fixed_small_log", "learned_range"),
    },
)
