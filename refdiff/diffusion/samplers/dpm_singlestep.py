"""Singlestep DPM-Solver (2206.00927) and DPM-Solver++(2S) (2211.01095, Algorithm 1)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import END, Values, flag
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.singlestep import SinglestepRow, back_columns, singlestep
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.samplers.solver_keys import DYNAMIC, MU, dpm_keys, dpm_parts
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class Begun(NamedTuple):
    """A step under way: x at its start, and the model's values, latest first."""

    x: Array
    m: tuple[Array, ...]


@dataclass(frozen=True)
class DpmSinglestep(Solver):
    """Singlestep DPM-Solver of order 1, 2 or 3.

    algorithm, midpoint: as in multistep, without sde-dpmsolver. lower_final: the last row is of
    first order, as it always is to sigma 0; rows that fill no step end in one of lower order.
    """

    order: int = 2
    algorithm: str = "dpmsolver++"
    midpoint: bool = True
    lower_final: bool = False
    final: Literal["zero", "sigma_min"] = "zero"

    def plan(self, steps: int) -> Plan[SinglestepRow]:
        """One row a call of the model, to sigma 0 or to the schedule's smallest."""
        t, sigma = self.grid(steps)
        levels = self.levels(sigma, 0.0 if self.final == "zero" else self.schedule.sigmas[0])
        order = np.arange(len(t)) % self.order + 1
        if self.final == "zero" or (self.lower_final and len(t) % self.order == 0):
            order[-1] = 1
        how = (levels, order, self.algorithm, self.midpoint, self.schedule.dialect)
        here = levels.at(slice(None, -1))
        return tabulate(
            SinglestepRow,
            t=t,
            sigma=here.sigma,
            alpha=here.alpha,
            std=here.std,
            order=order,
            **back_columns(1, *how),
            **back_columns(2, *how),
            **back_columns(3, *how),
        )

    def needs_noise(self, plan: Plan[SinglestepRow], i: int) -> bool:
        """Whether row i adds noise, going back as far as it may."""
        row = plan.rows[i]
        return max(row.noise_std, row.noise_std_back_2, row.noise_std_back_3) > 0

    def step(
        self,
        plan: Plan[SinglestepRow],
        i: int,
        x: Array,
        out: Array,
        memory: Begun | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Begun]:
        """From the step's start to one level further, of the order that its values so far give.

        x [N,C,H,W], out [N,C,H,W] or [N,2C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        new = self.x0(x, out, row) if self.algorithm.endswith("++") else self.eps(x, out, row)
        m = (new, *(memory.m if memory else ()))[: self.order]
        inside = m[: row.order]
        start = x if memory is None or len(inside) == 1 else memory.x
        return singlestep(row, start, inside, noise), Begun(start, m)


def _build(c: Values, dialect: Dialect) -> DpmSinglestep:
    if c["thresholding"] and c["algorithm_type"] == "dpmsolver":
        raise ConfigError(
            "thresholding is true with algorithm_type dpmsolver, where diffusers' singlestep "
            "solver breaks, expected dpmsolver++: set it so, or thresholding to false"
        )
    return DpmSinglestep(
        **dpm_parts({**c, "timestep_spacing": "linspace", "steps_offset": 0}, dialect),
        nearest=c["use_karras_sigmas"],
        final=c["final_sigmas_type"],
    )


ENTRY = Entry(
    "dpm++_single",
    "DPMSolverSinglestepScheduler",
    _build,
    order=2,
    good_for="steps that look no further back than their own start",
    read={
        **dpm_keys("dpmsolver", "sde-dpmsolver++"),
        **END,
        **DYNAMIC,
        "lower_order_final": flag(False),
    },
    options={**MU, **TIMESTEPS},
)
