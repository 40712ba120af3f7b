"""RePaint (2201.09865): inpainting by a model that never learned it, going up and down again.

Where the mask is 1 the picture is known, and x_s is drawn from q(x_s | x_0) of it (eq. 8a); the
rest is a step of DDIM's (eq. 8b, in diffusers 2010.02502, eq. 12). So that both agree, x climbs
back by noise now and then, and comes down again (Algorithm 1; the paper's figures 9 and 10).

A climb belongs to the row before it. Two Gaussian draws in succession are one, so that each row
has one noise:

    x_s  = mean + std z,   x_up = sqrt(r) x_s + sqrt(1 - r) z'
    x_up = sqrt(r) mean + sqrt(r std^2 + 1 - r) z
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import x0_from_eps
from refdiff.diffusion.samplers.build import schedule_of
from refdiff.diffusion.samplers.correction import Clip, Correction, keep
from refdiff.diffusion.samplers.ddim import toward
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import VariancePreserving
from refdiff.diffusion.samplers.inpainting import PICTURE, Known
from refdiff.diffusion.samplers.keys import Values, flag, integer, number, schedule_keys
from refdiff.diffusion.samplers.levels import alpha_bar_at, refuse_undefined, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.resampling import climbs, walk
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS, NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class RePaintRow(NamedTuple):
    """Known: of_x0 * known + known_std * z. Else of_x0 * x0 + of_eps * eps + noise_std * z.

    Then up to alpha_bar r times as small, of_xs = sqrt(r), where a climb follows, else r = 1.
    """

    t: int
    s: int
    alpha_bar: float
    of_x0: float
    of_eps: float
    noise_std: float
    known_std: float
    of_xs: float
    climb_std: float


@dataclass(frozen=True)
class RePaint(VariancePreserving):
    """RePaint. Each stretch of `jump` steps is gone `repeats` times; eta as in DDIM.

    known: the picture and its mask; without, a sampler can plan and not step.
    """

    schedule: NoiseSchedule
    eta: float = 0.0
    correction: Correction = keep
    jump: int = 10
    repeats: int = 10
    known: Known | None = None

    def plan(self, steps: int) -> Plan[RePaintRow]:
        """One row a call, steps of them and (repeats - 1) * jump more for each stretch."""
        check_steps(steps, len(self.schedule))
        k = len(self.schedule) // steps
        at = walk(steps, self.jump, self.repeats)
        t, s = at * k, np.maximum((at - 1) * k, -1)
        a_t, a_s = (alpha_bar_at(self.schedule, v, final=1.0) for v in (t, s))
        refuse_undefined("epsilon", a_t)
        return tabulate(
            RePaintRow,
            t=t,
            s=s,
            alpha_bar=a_t,
            **toward(a_t, a_s, self.eta),
            known_std=np.sqrt(1 - a_s),
            **climbs(self.schedule, t, s, k),
        )

    def needs_noise(self, plan: Plan[RePaintRow], i: int) -> bool:
        """Whether row i adds noise to what is known, or climbs."""
        return plan.rows[i].known_std > 0 or plan.rows[i].climb_std > 0

    def step(
        self,
        plan: Plan[RePaintRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """mask * known + (1 - mask) * unknown (2201.09865, eq. 8), and the climb.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        Raises ConfigError without a known picture, ShapeError for one of another shape.
        """
        row = plan.rows[i]
        if self.known is None:
            raise ConfigError(
                "RePaint knows no picture to keep, expected one and a mask: give from_config "
                "original_image=... and mask=..., 1 where the picture is kept"
            )
        picture, mask = self.known.fitting(x)
        x0 = self.correction(x0_from_eps(x, out, row.alpha_bar))
        unknown = row.of_x0 * x0 + row.of_eps * out
        mean = mask * (row.of_x0 * picture) + (1 - mask) * unknown
        std = mask * row.known_std + (1 - mask) * row.noise_std
        return with_noise(row.of_xs * mean, np.hypot(row.of_xs * std, row.climb_std), noise), None


def _build(c: Values, dialect: Dialect) -> RePaint:
    return RePaint(
        schedule_of(c, dialect),
        c["eta"],
        Clip(1.0) if c["clip_sample"] else keep,
        c["jump_length"],
        c["jump_n_sample"],
        Known.of(c["original_image"], c["mask"]),
    )


ENTRY = Entry(
    "repaint",
    "RePaintScheduler",
    _build,
    order=1,
    good_for="inpainting by a model that did not learn it",
    read={
        **schedule_keys(0.0001, 0.02, "linear", "sigmoid"),
        "eta": number(0.0, 0, 1, least=True),
        "clip_sample": flag(True),
    },
    options={
        "jump_length": integer(10, 1, MAX_STEPS),
        "jump_n_sample": integer(10, 1, MAX_STEPS),
        **PICTURE,
    },
)
