"""Multistep DPM-Solver run backwards: from a picture to the noise that it comes from.

The probability flow has no direction (2011.13456, section 4.3), so the same steps with rising
noise lead up. An SDE has one: there are no such steps.
"""

from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.samplers.dpm import Dpm, DpmRow
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import LINSPACE, Values, flag
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.sigmas import interpolated, sigma_table
from refdiff.diffusion.samplers.solver import open_ended
from refdiff.diffusion.samplers.solver_keys import dpm_keys, dpm_parts
from refdiff.diffusion.samplers.timesteps import check_steps, spread
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


@dataclass(frozen=True)
class DpmInverse(Dpm):
    """Multistep DPM-Solver up to the noisiest level."""

    def __post_init__(self) -> None:
        if self.algorithm.startswith("sde"):
            raise ConfigError(
                f"algorithm_type is {self.algorithm} in a solver that runs backwards, expected "
                "that of a flow: set it to dpmsolver++ or dpmsolver"
            )

    def plan(self, steps: int) -> Plan[DpmRow]:
        """One row a step; the last leads to the schedule's last sigma.

        Sigmas spaced by themselves are there before: their last row has no length. diffusers drops
        times that come twice but not their sigmas, and walks a straight flow down, not up.
        """
        if self.respacing is None and self.flow_shift is None:
            t, sigma, end = self._rising(steps)
        else:
            t, sigma = self.grid(steps)
            if self.flow_shift is not None and self.schedule.dialect == "paper":
                t, sigma = t[::-1], sigma[::-1]
            end = float(sigma[-1])
        levels = self.levels(sigma, end)
        if self.schedule.dialect == "diffusers" and (self.respacing is None or self.nearest):
            t = t[np.sort(np.unique(t, return_index=True)[1])]
        return self.rows(t, levels.at(slice(len(t) + 1)))

    def ends(self, table: Array) -> tuple[float, float]:
        """Between which sigmas a respacing leads: from the lowest up."""
        noisiest, cleanest = super().ends(table)
        return cleanest, noisiest

    def _rising(self, steps: int) -> tuple[Array, Array, float]:
        """Whole times and their sigmas, rising, and the sigma of the schedule's end."""
        table = sigma_table(self.schedule)
        check_steps(steps, len(self.schedule))
        top = self._top(table)
        t: Array = open_ended(self.schedule, steps, self.spacing, self.offset, top)[::-1]
        if self.spacing != "trailing":  # the noisiest time is the end's, not the cleanest
            falling = spread(self.schedule, steps + 1, self.spacing, self.offset, top)[1:]
            t = np.round(falling[::-1]).astype(np.int64)
        return t, interpolated(table, t), float(table[top - 1])


def _build(c: Values, dialect: Dialect) -> DpmInverse:
    return DpmInverse(
        **dpm_parts(c, dialect), nearest=c["use_karras_sigmas"], euler_final=c["euler_at_final"]
    )


ENTRY = Entry(
    "dpm++_inverse",
    "DPMSolverMultistepInverseScheduler",
    _build,
    order=2,
    good_for="the noise that a picture comes from",
    read={
        **dpm_keys("dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"),
        **LINSPACE,
        "euler_at_final": flag(False),
    },
)
