"""DPM-Solver (2206.00927) and DPM-Solver++ (2211.01095), of the flow and of the SDE, multistep.

Each step looks back on the model's last values, x0 or eps, for the derivatives D0, D1, D2 of
`lambdas`; the flow's second order is DPM-Solver++(2M), 2211.01095, Algorithm 2.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from refdiff.diffusion.samplers.differences import LookingBack, backward, orders, ratios
from refdiff.diffusion.samplers.lambdas import Levels, coefficients
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class MultistepRow(LookingBack, Protocol):
    """of_x x + of_d0 D0 + of_d1 D1 + of_d2 D2 + noise_std z, to the order that the past allows.

    of_d1 is the second order's, of_d1_third the third's.
    """

    @property
    def order(self) -> int: ...
    @property
    def of_x(self) -> float: ...
    @property
    def of_d0(self) -> float: ...
    @property
    def of_d1(self) -> float: ...
    @property
    def of_d1_third(self) -> float: ...
    @property
    def of_d2(self) -> float: ...
    @property
    def noise_std(self) -> float: ...


@dataclass(frozen=True)
class Multistep:
    """The choices of a multistep DPM-Solver of order 1, 2 or 3.

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

    def columns(self, levels: Levels, dialect: Dialect, euler: bool) -> dict[str, Array]:
        """The steps along a path of levels, [rows] each; euler: the last must be of first order.

        Raises ConfigError for a third order of sde-dpmsolver, which nobody has written.
        """
        rows = len(levels.sigma) - 1
        short = self.lower_final and rows < 15
        euler = euler or short or self.euler_final
        order = orders(rows, self.order, short=short, euler=euler)
        if self.algorithm == "sde-dpmsolver" and np.any(order > 2):
            raise ConfigError(
                "sde-dpmsolver is to be of third order, expected first or second: set solver_order "
                "to 2, or algorithm_type to sde-dpmsolver++"
            )
        # a last step of no length, to a smallest sigma that is there already, leaves x as it is
        order = np.where(np.diff(levels.lambda_) == 0, 1, order)
        t, s = levels.at(slice(1, None)), levels.at(slice(None, -1))
        c = coefficients(self.algorithm, t, s, dialect)
        # D2 is h^2 / 2 times the second derivative, whole on paper; diffusers counts it half
        of_d2 = c.of_d2 if dialect == "diffusers" else 2 * c.of_d2
        return {
            "order": order,
            **ratios(levels.lambda_, order)._asdict(),
            "of_x": c.of_x,
            "of_d0": c.of_d0,
            "of_d1": np.where(order > 1, 0.5 * c.of_d0 if self.midpoint else c.of_d1, 0),
            "of_d1_third": np.where(order > 2, c.of_d1, 0),
            "of_d2": np.where(order > 2, of_d2, 0),
            "noise_std": c.noise_std,
        }

    def advance(
        self,
        row: MultistepRow,
        x: Array,
        new: Array,
        memory: tuple[Array, ...] | None,
        noise: Array | None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """The step of the order that the model's values give, latest first in memory.

        x [N,C,H,W], new [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        past = (new, *(memory or ()))[: self.order]
        D0, *D = backward(past[: row.order], row)
        mean = row.of_x * x + row.of_d0 * D0
        if len(D) == 1:
            mean = mean + row.of_d1 * D[0]
        elif len(D) == 2:
            mean = mean + row.of_d1_third * D[0] + row.of_d2 * D[1]
        return with_noise(mean, row.noise_std, noise), past
