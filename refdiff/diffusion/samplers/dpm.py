"""Multistep DPM-Solvers over a schedule's times: what those down and up have in common."""

from dataclasses import dataclass
from typing import NamedTuple

from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.lambdas import Levels
from refdiff.diffusion.samplers.multistep import Multistep
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.types import Array


class DpmRow(NamedTuple):
    """A `MultistepRow` at a level where x is alpha x0 + std eps."""

    t: float
    sigma: float
    alpha: float
    std: float
    order: int
    inv_r0: float
    inv_r1: float
    r0_share: float
    inv_r01: float
    of_x: float
    of_d0: float
    of_d1: float
    of_d1_third: float
    of_d2: float
    noise_std: float


@dataclass(frozen=True)
class Dpm(Multistep, Stochastic, Solver):
    """Multistep DPM-Solver of a schedule."""

    def rows(self, t: Array, levels: Levels, euler: bool = False) -> Plan[DpmRow]:
        """The plan along these levels; euler: the last step must be of first order."""
        here = levels.at(slice(None, -1))
        columns = self.columns(levels, self.schedule.dialect, euler)
        return tabulate(DpmRow, t=t, sigma=here.sigma, alpha=here.alpha, std=here.std, **columns)

    def step(
        self,
        plan: Plan[DpmRow],
        i: int,
        x: Array,
        out: Array,
        memory: tuple[Array, ...] | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """A first-order step, and corrections by the derivatives that the past gives.

        x [N,C,H,W], out [N,C,H,W] or [N,2C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        new = self.x0(x, out, row) if self.algorithm.endswith("++") else self.eps(x, out, row)
        return self.advance(row, x, new, memory, noise)
