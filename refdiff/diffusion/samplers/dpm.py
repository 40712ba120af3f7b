"""DPM-Solver (2206.00927) and DPM-Solver++ (2211.01095), of the flow and of the SDE, multistep.

Each step looks back on the model's last values, x0 or eps, for the derivatives D0, D1, D2 of
`lambdas`; the flow's second order is DPM-Solver++(2M), 2211.01095, Algorithm 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.differences import backward, orders, ratios
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.lambdas import Levels, coefficients
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class DpmRow(NamedTuple):
    """of_x x + of_d0 D0 + of_d1 D1 + of_d2 D2 + noise_std z, to the order that the past allows.

    x is alpha x0 + std eps here. of_d1 is the second order's, of_d1_third the third's.
    """

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


def dpm_plan(
    t: Array,
    levels: Levels,
    order: NDArray[np.int64],
    algorithm: str,
    midpoint: bool,
    dialect: Dialect,
) -> Plan[DpmRow]:
    """The rows along a path of levels, each of the order given: t [rows], order [rows]

    Raises ConfigError for a third order of sde-dpmsolver, which nobody has written.
    """
    if algorithm == "sde-dpmsolver" and np.any(order > 2):
        raise ConfigError(
            "sde-dpmsolver is to be of third order, expected first or second: set solver_order to "
            "2, or algorithm_type to sde-dpmsolver++"
        )
    # a last step of no length, to a smallest sigma that is there already, leaves x as it is
    order = np.where(np.diff(levels.lambda_) == 0, 1, order)
    here = levels.at(slice(None, -1))
    c = coefficients(algorithm, levels.at(slice(1, None)), here, dialect)
    # D2 is h^2 / 2 times the second derivative, whole on paper; diffusers counts it half
    of_d2 = c.of_d2 if dialect == "diffusers" else 2 * c.of_d2
    return tabulate(
        DpmRow,
        t=t,
        sigma=here.sigma,
        alpha=here.alpha,
        std=here.std,
        order=order,
        **ratios(levels.lambda_, order)._asdict(),
        of_x=c.of_x,
        of_d0=c.of_d0,
        of_d1=np.where(order > 1, 0.5 * c.of_d0 if midpoint else c.of_d1, 0),
        of_d1_third=np.where(order > 2, c.of_d1, 0),
        of_d2=np.where(order > 2, of_d2, 0),
        noise_std=c.noise_std,
    )


def dpm_step(row: DpmRow, x: Array, m: Sequence[Array], noise: Array | None) -> Array:
    """The step of the order that so many values give, latest first.

    x [N,C,H,W], m [N,C,H,W] each, noise [N,C,H,W] -> [N,C,H,W]
    """
    D0, *D = backward(m, row)
    mean = row.of_x * x + row.of_d0 * D0
    if len(D) == 1:
        mean = mean + row.of_d1 * D[0]
    elif len(D) == 2:
        mean = mean + row.of_d1_third * D[0] + row.of_d2 * D[1]
    return with_noise(mean, row.noise_std, noise)


@dataclass(frozen=True)
class Dpm(Stochastic, Solver):
    """What multistep DPM-Solvers share, of order 1, 2 or 3.

    algorithm: dpmsolver++ and sde-dpmsolver++ think of x0, dpmsolver and sde-dpmsolver of eps.
    midpoint: the second order's D1 counts half of D0's coefficient, else ("heun") its own integral.
    lower_final: in fewer than 15 steps the last is of first, the one before of second order.
    euler_final: the last step is of first order, however many there are.
    """

    order: int = 2
    algorithm: str = "dpmsolver++"
    midpoint: bool = True
    lower_final: bool = True
    euler_final: bool = False

    def rows(self, t: Array, levels: Levels, euler: bool = False) -> Plan[DpmRow]:
        """The plan along these levels; euler: the last step has to be of first order."""
        short = self.lower_final and len(t) < 15
        euler = euler or short or self.euler_final
        order = orders(len(t), self.order, short=short, euler=euler)
        return dpm_plan(t, levels, order, self.algorithm, self.midpoint, self.schedule.dialect)

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
        past = (new, *(memory or ()))[: self.order]
        return dpm_step(row, x, past[: row.order], noise), past
