"""Denoising diffusion implicit models: DDIM (2010.02502)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.prediction import EPS, X0, eps_from_x0
from refdiff.diffusion.process import posterior_coefficients
from refdiff.diffusion.samplers.beyond import SPACING
from refdiff.diffusion.samplers.build import common, correction_of, final_alpha_bar
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
    flag,
    number,
    schedule_keys,
)
from refdiff.diffusion.samplers.levels import (
    alpha_bar_at,
    following,
    refuse_undefined,
    with_noise,
)
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import Spacing, spaced, whole
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class DdimRow(NamedTuple):
    """x_s = of_x0 * x0 + of_eps * eps + noise_std * z"""

    t: int
    s: int
    alpha_bar: float
    of_x0: float
    of_eps: float
    noise_std: float


def toward(a_t: Array, a_s: Array, eta: float) -> dict[str, Array]:
    """of_x0, of_eps and noise_std (2010.02502, eqs. 12 and 16): [rows] -> [rows] each"""
    noise_std = eta * np.sqrt(posterior_coefficients(a_t, a_s).variance)
    # rounding may take this below 0 where eta = 1 steps out of pure noise
    of_eps = np.sqrt(np.maximum(1 - a_s - noise_std**2, 0))
    return {"of_x0": np.sqrt(a_s), "of_eps": of_eps, "noise_std": noise_std}


@dataclass(frozen=True)
class Ddim(Stochastic, VariancePreserving):
    """DDIM. eta 0 is deterministic, eta 1 has DDPM's variance; final is alpha_bar at the end.

    A corrected (clipped, thresholded) x0 changes eps only with corrected_eps, as in GLIDE.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    eta: float = 0.0
    final: float = 1.0
    correction: Correction = keep
    corrected_eps: bool = False
    spacing: Spacing = "leading"
    offset: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(
                f"eta is {self.eta!r}, expected a number in [0, 1], from DDIM to DDPM: choose one"
            )

    def plan(self, steps: int) -> Plan[DdimRow]:
        """One row a step; the last leads to alpha_bar = final."""
        t = whole(spaced(self.schedule, steps, self.spacing, self.offset), self.schedule)
        s = following(self.schedule, t, steps, self.spacing)
        a_t, a_s = alpha_bar_at(self.schedule, t), alpha_bar_at(self.schedule, s, self.final)
        refuse_undefined(self.prediction, a_t)
        return tabulate(DdimRow, t=t, s=s, alpha_bar=a_t, **toward(a_t, a_s, self.eta))

    def step(
        self,
        plan: Plan[DdimRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """sqrt(a_s) x0 + sqrt(1 - a_s - std^2) eps + std z (2010.02502, eqs. 12 and 16).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(X0[self.prediction](x, out, row.alpha_bar))
        if self.corrected_eps:
            eps = eps_from_x0(x, x0, row.alpha_bar)
        else:
            eps = EPS[self.prediction](x, out, row.alpha_bar)
        mean = row.of_x0 * x0 + row.of_eps * eps
        return with_noise(mean, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> Ddim:
    parts = common(c, dialect)
    final = final_alpha_bar(c, parts["schedule"])
    return Ddim(
        **parts,
        eta=c["eta"],
        final=final,
        correction=correction_of(c),
        corrected_eps=c["use_clipped_model_output"],
    )


ENTRY = Entry(
    "ddim",
    "DDIMScheduler",
    _build,
    order=1,
    good_for="few steps, inversion, and the way between noise and none (eta)",
    read={
        **schedule_keys(),
        **ZERO_SNR,
        **CLIP,
        **THRESHOLD,
        **LEADING,
        **EPS_X0_V,
        "set_alpha_to_one": flag(True),
    },
    options={
        "eta": number(0.0, 0, 1, least=True),
        "use_clipped_model_output": flag(False),
        **SPACING,
    },
)
