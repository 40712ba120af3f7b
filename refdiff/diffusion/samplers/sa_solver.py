"""SA-Solver: stochastic Adams, with as much noise as tau says at each time (2309.05019).

tau = 0 is the flow, tau = 1 the usual SDE, and every tau keeps the marginals (section 4): to each
time its own. The mathematics are in `sa_weights`, the frame of predictor and corrector in `adams`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refdiff.diffusion.process import q_sample
from refdiff.diffusion.samplers.adams import Adams, Orders, Steps
from refdiff.diffusion.samplers.adams_step import AdamsRow
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import LINSPACE, Values, choice, flag, integer, number
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.sa_weights import linear, weights
from refdiff.diffusion.samplers.solver_keys import (
    LAMBDA_MIN,
    LEARNED,
    refuse_flow,
    solver_keys,
    solver_parts,
)
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


def in_the_middle(t: float) -> float:
    """diffusers' tau: noise between the times 200 and 800 only."""
    return 1.0 if 200 <= t <= 800 else 0.0


@dataclass(frozen=True)
class SaSolver(Adams):
    """SA-Solver, predicting with 1 to 4 values and correcting with as many, the new one among them.

    data: values are x0, else eps. lower_final: fewer values in the last rows. Ends as `Deis` does.
    """

    order: int = 2
    corrector_order: int = 2
    data: bool = True
    lower_final: bool = True
    tau: Callable[[float], float] = in_the_middle

    @property
    def keeps(self) -> int:
        """As many values as either takes; the corrector has the new one beside."""
        return max(self.order, self.corrector_order - 1)

    def value(self, x: Array, out: Array, row: AdamsRow) -> Array:
        """x0 or eps. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
        return (self.x0 if self.data else self.eps)(x, out, row)

    def orders(self, rows: int) -> tuple[Orders, Orders]:
        """Rise with the rows so far, fall at the end: -> [rows] each"""
        row = np.arange(rows)
        order, corrector = (
            np.minimum(row + 1, self.order),
            np.minimum(row + 2, self.corrector_order),
        )
        if self.lower_final:
            order, corrector = np.minimum(order, rows - row), np.minimum(corrector, rows - row + 1)
        corrector[-1] = 0
        return order, corrector

    def linear(self, steps: Steps) -> tuple[Array, Array]:
        """of_x and noise_std: -> [rows] each"""
        return linear(steps, self._tau(steps), self.data)

    def predictor(self, steps: Steps) -> Array:
        """By the values so far: -> [values,rows]"""
        return self._weights(steps, steps.past.lambda_)

    def corrector(self, steps: Steps) -> Array:
        """By the value at t too: -> [1 + values,rows]"""
        return self._weights(steps, np.concatenate([[steps.end.lambda_], steps.past.lambda_]))

    def _weights(self, steps: Steps, nodes: Array) -> Array:
        halved = self.schedule.dialect == "diffusers"
        return weights(steps, nodes, self._tau(steps), self.data, halved)

    def _tau(self, steps: Steps) -> Array:
        return np.array([self.tau(t) for t in steps.t.tolist()], np.float64)

    def add_noise(self, plan: Plan[Any], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]

        diffusers reads the level at the row's whole time, where respaced sigmas do not lie.
        """
        if self.schedule.dialect == "paper":
            return super().add_noise(plan, i, x0, eps)
        if (t := plan.rows[i].t) >= len(self.schedule):
            raise ConfigError(
                f"row {i} begins at t = {t}, beyond the schedule's last, {len(self.schedule) - 1}: "
                "use fewer steps or a smaller steps_offset"
            )
        return q_sample(x0, eps, float(self.schedule.alphas_cumprod[int(t)]))


def _build(c: Values, dialect: Dialect) -> SaSolver:
    data = c["algorithm_type"] == "data_prediction"
    if not data and c["thresholding"]:
        raise ConfigError(
            "thresholding is true with algorithm_type noise_prediction, expected data_prediction, "
            "as thresholds are for x0: set one of the two"
        )
    if not data:
        refuse_flow("algorithm_type is noise_prediction", "data_prediction", c)
    if c["variance_type"] is not None and c["prediction_type"] == "epsilon":
        raise ConfigError(
            f"variance_type is {c['variance_type']} with prediction_type epsilon, expected null, "
            "as diffusers' class fails there: set it so, or use dpm++"
        )
    constant = c["tau"]
    return SaSolver(
        **solver_parts(c, dialect),
        nearest=c["use_karras_sigmas"],
        order=c["predictor_order"],
        corrector_order=c["corrector_order"],
        data=data,
        lower_final=c["lower_order_final"],
        tau=in_the_middle if constant is None else lambda t: constant,
    )


ENTRY = Entry(
    "sa",
    "SASolverScheduler",
    _build,
    order=2,
    good_for="noise to taste (tau) at a higher order",
    read={
        **solver_keys(),
        **LINSPACE,
        **LAMBDA_MIN,
        **LEARNED,
        "predictor_order": integer(2, 1, 4),
        "corrector_order": integer(2, 1, 4),
        "algorithm_type": choice("data_prediction", "noise_prediction"),
        "lower_order_final": flag(True),
    },
    options={"tau": number(None, 0, 100, least=True)},
    neutral={"tau_func": None},
)
