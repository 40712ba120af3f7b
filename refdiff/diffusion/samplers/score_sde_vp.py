"""Euler-Maruyama on the variance preserving SDE, backwards (2011.13456, eqs. 6, 11 and 29).

    beta(t)   = beta_min + t (beta_max - beta_min),    t from 1 to sampling_eps
    alpha_bar = exp(-t^2 (beta_max - beta_min) / 2 - t beta_min)
    score     = -eps / sqrt(1 - alpha_bar)
    x <- x + (-beta x / 2 - beta score) dt + sqrt(-beta dt) z,    dt = -1 / steps

diffusers' class hands the mean out beside x; as the paper (appendix G), the last row here adds no
noise. t is the SDE's own time: networks trained by the paper's code want to be shown 999 t.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VariancePreserving
from refdiff.diffusion.samplers.keys import Values, integer, number
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS, ramp
from refdiff.diffusion.types import Array, Dialect


class VpRow(NamedTuple):
    """x + (-beta x / 2 + beta eps / std) dt + noise_std * z"""

    t: float
    alpha_bar: float
    std: float
    beta: float
    dt: float
    noise_std: float


@dataclass(frozen=True)
class ScoreSdeVp(Stochastic, VariancePreserving):
    """The reverse SDE in equal steps of time, of a network that predicts eps."""

    T: int = 2000
    beta_min: float = 0.1
    beta_max: float = 20.0
    sampling_eps: float = 1e-3
    dialect: Dialect = "diffusers"

    def plan(self, steps: int) -> Plan[VpRow]:
        """One row a step."""
        check_steps(steps, self.T)
        t = ramp(1.0, self.sampling_eps, steps, self.dialect)
        low, rise = self.beta_min, self.beta_max - self.beta_min
        beta = low + t * rise
        alpha_bar = rounded.exp(2 * (-0.25 * t**2 * rise - 0.5 * t * low))
        last = np.arange(steps) == steps - 1
        return tabulate(
            VpRow,
            t=t,
            alpha_bar=alpha_bar,
            std=np.sqrt(1 - alpha_bar),
            beta=beta,
            dt=np.full_like(t, -1 / steps),
            noise_std=np.where(last, 0, np.sqrt(beta) * (1 / steps) ** 0.5),
        )

    def step(
        self,
        plan: Plan[VpRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """The SDE's drift over dt, and its noise (2011.13456, eq. 6).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        score = -out / row.std
        drift = -0.5 * row.beta * x - row.beta * score
        return with_noise(x + drift * row.dt, row.noise_std, noise), None


def _build(c: Values, dialect: Dialect) -> ScoreSdeVp:
    betas = c["beta_min"], c["beta_max"]
    return ScoreSdeVp(c["num_train_timesteps"], *betas, c["sampling_eps"], dialect)


ENTRY = Entry(
    "score_sde_vp",
    "ScoreSdeVpScheduler",
    _build,
    order=1,
    good_for="score networks of the variance preserving SDE",
    read={
        "num_train_timesteps": integer(2000, 1, MAX_STEPS),
        "beta_min": number(0.1, 0, 1e3),
        "beta_max": number(20, 0, 1e3),
        "sampling_eps": number(1e-3, 0, 1),
    },
)
