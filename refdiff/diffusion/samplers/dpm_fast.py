"""DPM-Solver-fast (2206.00927, section 3.4): a given number of calls, third order where it can be.

As k-diffusion's sample_dpm_fast: steps // 3 + 1 steps, equally long in lambda = -log(sigma), from
sigma_max to sigma_min. All have three calls but for the last, which makes up the number, or the
last two, of two calls and of one. `steps` counts calls here. It ends at sigma_min, not at 0; the
last step alone may be of order 1, which costs the third order only where it is hardly seen.
With eta a step goes down to sigma_down and up again by fresh noise, as Euler ancestral.
"""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.samplers.build import schedule_of
from refdiff.diffusion.samplers.dpm_stages import (
    Begun,
    StageRow,
    Whole,
    columns,
    descent,
    eps_of,
    landed,
    shares,
)
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic, VarianceExploding
from refdiff.diffusion.samplers.keys import EPS_X0_V, SIGMA_ENDS, Values, number, schedule_keys
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.sigmas import sigma_table
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


def orders(calls: int) -> Whole:
    """How many calls each step has (2206.00927, section 3.4): -> [calls // 3 + 1], sum calls"""
    thirds, rest = divmod(calls, 3)
    last = [rest] if rest else [2, 1]
    return np.array([3] * (thirds + 1 - len(last)) + last)


@dataclass(frozen=True)
class DpmFast(Stochastic, VarianceExploding):
    """DPM-Solver-fast. sigma_min and sigma_max are the schedule's ends unless given."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    sigma_min: float | None = None
    sigma_max: float | None = None
    eta: float = 0.0
    spacing = "linspace"  # x starts at sigma_max itself

    def plan(self, steps: int) -> Plan[StageRow]:
        """One row a call, so many as `steps` says."""
        check_steps(steps, len(self.schedule))
        table = sigma_table(self.schedule).astype(np.float64)
        ends = np.array([self.sigma_max or table[-1], self.sigma_min or table[0]])
        first, last = -np.log(ends)
        step, share = shares(orders(steps))
        path = np.linspace(first, last, step[-1] + 2)
        down, up = descent(path[:-1], path[1:], last, self.eta)
        return tabulate(
            StageRow,
            **columns(table, path[step], (down - path[:-1])[step], share),
            noise_std=np.where(share.to == 1, up[step], 0),
        )

    def step(
        self,
        plan: Plan[StageRow],
        i: int,
        x: Array,
        out: Array,
        memory: Begun | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Begun]:
        """One call's part of a step; memory is where the step began.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        Raises ConfigError for a run that starts inside a step.
        """
        row = plan.rows[i]
        eps = eps_of(self.prediction, row, x, out)
        begun = Begun(x, eps) if row.begins else memory
        if begun is None:
            raise ConfigError(
                "a run starts in the middle of a step of several calls, which needs those before "
                "it: start at a row whose begins is true"
            )
        return with_noise(landed(row, begun, eps), row.noise_std, noise), begun


def _build(c: Values, dialect: Dialect) -> DpmFast:
    return DpmFast(
        schedule_of(c, dialect), c["prediction_type"], c["sigma_min"], c["sigma_max"], c["eta"]
    )


ENTRY = Entry(
    "dpm_fast",
    "dpm_fast",
    _build,
    order=3,
    good_for="the most out of a given number of calls, deterministic",
    read={**schedule_keys(), **EPS_X0_V, **SIGMA_ENDS},
    options={"eta": number(0.0, 0, 1, least=True)},
)
