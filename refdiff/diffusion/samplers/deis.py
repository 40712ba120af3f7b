"""DEIS: the flow in rho = std / alpha, eps as a polynomial of log(rho) (2204.13902, section 3).

With y = x / alpha the flow is dy = eps drho and with eps replaced by the polynomial in
log(rho) through its last values at rho_0 = rho_s, rho_1, ... ("log rho"),

    x_t = alpha_t (x_s / alpha_s + sum_j C_j eps_j)
    C_j = integral of prod_{m != j} log(rho / rho_m) / log(rho_j / rho_m) from rho_s to rho_t
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.samplers.adams import Adams, Orders, Steps
from refdiff.diffusion.samplers.adams_step import AdamsRow
from refdiff.diffusion.samplers.conversions import eps_from_x0
from refdiff.diffusion.samplers.differences import orders
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import LINSPACE, Values, choice, flag, integer
from refdiff.diffusion.samplers.lambdas import coefficients
from refdiff.diffusion.samplers.solver_keys import DYNAMIC, MU, solver_keys, solver_parts
from refdiff.diffusion.types import Array, Dialect


def _line(rho: Array, b: Array, c: Array) -> Array:
    """Integral over rho of log(rho / c) / log(b / c): [rows] each -> [rows]"""
    x, lb, lc = np.log(rho), np.log(b), np.log(c)
    return rho * (-lc + x - 1) / (lb - lc)


def _parabola(rho: Array, b: Array, c: Array, d: Array) -> Array:
    """Integral of log(rho / c) log(rho / d) / (log(b / c) log(b / d)): [rows] each -> [rows]"""
    x, lb, lc, ld = np.log(rho), np.log(b), np.log(c), np.log(d)
    product = rho * (lc * (ld - x + 1) - ld * x + ld + x**2 - 2 * x + 2)
    return product / ((lb - lc) * (lb - ld))


INTEGRALS: dict[int, Callable[..., Array]] = {2: _line, 3: _parabola}


@dataclass(frozen=True)
class Deis(Adams):
    """DEIS of order 1, 2 or 3, to the schedule's smallest sigma.

    Sigmas that are spaced by themselves are there already in the last row, whose step has no
    length. lower_final: in fewer than 15 steps the last is of first order, and the one before of
    second.
    """

    order: int = 2
    lower_final: bool = True

    @property
    def keeps(self) -> int:
        """As many values as the order."""
        return self.order

    def value(self, x: Array, out: Array, row: AdamsRow) -> Array:
        """eps, by way of the corrected x0. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
        x0 = self.x0(x, out, row)
        if self.prediction == "flow_prediction":  # of a straight flow, where the two are one
            row = row._replace(std=row.sigma)
        return eps_from_x0(x, x0, row)

    def orders(self, rows: int) -> tuple[Orders, Orders]:
        """Rises with the rows so far and falls at the end; no corrector: -> [rows] each"""
        short = self.lower_final and rows < 15
        return orders(rows, self.order, short=short, euler=short), np.zeros(rows, int)

    def linear(self, steps: Steps) -> tuple[Array, Array]:
        """alpha_t / alpha_s, and no noise: -> [rows] each"""
        return steps.end.alpha / steps.start.alpha, np.zeros(len(steps.t))

    def predictor(self, steps: Steps) -> Array:
        """alpha_t C_j; of first order it is DPM-Solver's, DDIM: -> [values,rows]"""
        order = len(steps.past.sigma)
        if order == 1:
            c = coefficients("dpmsolver", steps.end, steps.start, self.schedule.dialect)
            return c.of_d0[None]
        rho_t, rho = (level.std / level.alpha for level in (steps.end, steps.past))
        integral, turns = INTEGRALS[order], [np.roll(rho, -j, axis=0) for j in range(order)]
        C = [integral(rho_t, *nodes) - integral(rho[0], *nodes) for nodes in turns]
        return steps.end.alpha * np.stack(C)


def _build(c: Values, dialect: Dialect) -> Deis:
    return Deis(
        **solver_parts(c, dialect),
        nearest=c["use_karras_sigmas"],
        order=c["solver_order"],
        lower_final=c["lower_order_final"],
    )


ENTRY = Entry(
    "deis",
    "DEISMultistepScheduler",
    _build,
    order=2,
    good_for="few steps without guidance",
    read={
        **solver_keys(),
        **LINSPACE,
        **DYNAMIC,
        "solver_order": integer(2, 1, 3),
        # the words of other solvers stand for the first
        "algorithm_type": choice("deis", "dpmsolver", "dpmsolver++"),
        "solver_type": choice("logrho", "midpoint", "heun", "bh1", "bh2"),
        "lower_order_final": flag(True),
    },
    options=MU,
)
