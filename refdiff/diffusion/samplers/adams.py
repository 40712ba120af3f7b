"""How exponential Adams methods plan: what each has of its own are weights, functions of lambda."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.adams_step import AdamsRow, Memory, corrected, predicted
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.lambdas import Levels
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.types import Array

Orders = NDArray[np.int64]
MOST = 4  # weights in a sum


class Steps(NamedTuple):
    """Steps of one order: times t [rows], levels s and t [rows], the past ones [values,rows]."""

    t: Array
    start: Levels
    end: Levels
    past: Levels

    @property
    def h(self) -> Array:
        """The steps' lengths in lambda: -> [rows]"""
        return self.end.lambda_ - self.start.lambda_


@dataclass(frozen=True)
class Adams(Stochastic, Solver, ABC):
    """What the methods share; a run that starts in the middle has the order its values allow."""

    @property
    @abstractmethod
    def keeps(self) -> int:
        """How many values are remembered, the latest among them."""

    @abstractmethod
    def value(self, x: Array, out: Array, row: AdamsRow) -> Array:
        """What m is of the model's output. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""

    @abstractmethod
    def orders(self, rows: int) -> tuple[Orders, Orders]:
        """How many values each row predicts and corrects with: -> [rows] each"""

    def end(self, sigma: Array) -> float:
        """The schedule's smallest sigma, or the last of those spaced by themselves. sigma [rows]"""
        spaced = self.respacing is None and self.flow_shift is None
        return float(self.schedule.sigmas[0] if spaced else sigma[-1])

    @abstractmethod
    def linear(self, steps: Steps) -> tuple[Array, Array]:
        """of_x and noise_std: -> [rows] each"""

    @abstractmethod
    def predictor(self, steps: Steps) -> Array:
        """w_0, w_1, ...: -> [values,rows]"""

    def corrector(self, steps: Steps) -> Array:
        """c_t, c_0, c_1, ...: -> [1 + values,rows]; zeros in a method that corrects nothing."""
        return np.zeros((1 + len(steps.past.lambda_), len(steps.t)))

    def plan(self, steps: int) -> Plan[AdamsRow]:
        """One row a step. Raises ConfigError where times come twice, which weights divide by."""
        t, sigma = self.grid(steps)
        return self._along(t, self.levels(sigma, self.end(sigma)), *self.orders(len(t)))

    def _along(self, t: Array, path: Levels, order: Orders, corrector: Orders) -> Plan[AdamsRow]:
        """The rows along a path of levels: t, order, corrector [rows], path [rows + 1]"""

        def steps(at: Orders, values: int) -> Steps:
            past = path.at(at - np.arange(values)[:, None])
            return Steps(t[at], path.at(at), path.at(at + 1), past)

        rows, dtype = len(t), path.sigma.dtype
        # a step of no length, as to a last sigma that is there already, leaves x as it is
        still = path.sigma[1:] == path.sigma[:-1]
        order, corrector = np.where(still, 1, order), np.where(still, 0, corrector)
        w, c = np.zeros((MOST, rows), dtype), np.zeros((MOST, rows), dtype)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            of_x, noise_std = self.linear(steps(np.arange(rows), 1))
            for k in set(order.tolist()):
                at = np.flatnonzero(order == k)
                w[:k, at] = self.predictor(steps(at, k))
            for k in set(corrector.tolist()) - {0}:
                at = np.flatnonzero(corrector == k)
                c[:k, at] = self.corrector(steps(at, k - 1))
        return tabulate(
            AdamsRow,
            t=t,
            sigma=path.sigma[:-1],
            alpha=path.alpha[:-1],
            std=path.std[:-1],
            sigma_next=path.sigma[1:],
            order=order,
            corrector=corrector,
            of_x=of_x,
            noise_std=noise_std,
            **{f"w_{j}": w[j] for j in range(MOST)},
            **{f"c_{name}": c[j] for j, name in enumerate("t012")},
        )

    def _planned(self, plan: Plan[AdamsRow], i: int, known: int) -> AdamsRow:
        """Row i, of a lower order where fewer values are known than it takes."""
        row = plan.rows[i]
        if known >= max(row.order, row.corrector - 1):
            return row
        rows = plan.rows[i + 1 - known : i + 1]
        t, sigma = (np.array(column) for column in ([r.t for r in rows], [r.sigma for r in rows]))
        order, corrector = np.ones(known, int), np.zeros(known, int)
        order[-1], corrector[-1] = min(row.order, known), min(row.corrector, known + 1)
        return self._along(t, self.levels(sigma, row.sigma_next), order, corrector).rows[-1]

    def step(
        self,
        plan: Plan[AdamsRow],
        i: int,
        x: Array,
        out: Array,
        memory: Memory | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Memory]:
        """Correct the step that led here, and predict the next.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        new = self.value(x, out, plan.rows[i])
        values: tuple[Array, ...] = (new,)
        if memory is not None:
            x = corrected(memory, x, new)
            values = (new, *memory.values)[: self.keeps]
        row = self._planned(plan, i, len(values))
        return predicted(row, x, values, noise), Memory(row, x, values, noise)
