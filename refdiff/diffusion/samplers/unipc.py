"""UniPC: a predictor and a corrector of any order in one frame (2302.04867, Algorithms 5 to 8)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refdiff.diffusion.samplers.adams import Adams, Orders, Steps
from refdiff.diffusion.samplers.adams_step import AdamsRow
from refdiff.diffusion.samplers.correction import keep
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import Key, Values, choice, flag, integer
from refdiff.diffusion.samplers.solver_keys import MU, refuse_flow
from refdiff.diffusion.samplers.unipc_path import UniPcPath, path_keys, path_parts
from refdiff.diffusion.samplers.unipc_weights import exponential, places, weights
from refdiff.diffusion.schedule import MAX_STEPS
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


@dataclass(frozen=True)
class UniPc(UniPcPath, Adams):
    """UniP of order 1, 2 or 3, its steps corrected by UniC, which adds one to the order.

    algorithm: dpmsolver++ thinks of x0, dpmsolver of eps. bh2: B = e^g - 1, else g.
    lower_final: the order falls to 1 in the last rows. uncorrected: rows whose step is left as it
    is predicted.
    """

    order: int = 2
    algorithm: Literal["dpmsolver++", "dpmsolver"] = "dpmsolver++"
    bh2: bool = True
    lower_final: bool = True
    uncorrected: frozenset[int] = frozenset()

    @property
    def keeps(self) -> int:
        """As many values as the order."""
        return self.order

    def value(self, x: Array, out: Array, row: AdamsRow) -> Array:
        """x0 or eps. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
        return (self.x0 if self.algorithm == "dpmsolver++" else self.eps)(x, out, row)

    def orders(self, rows: int) -> tuple[Orders, Orders]:
        """Rises with the rows so far, falls at the end; UniC of the same order: -> [rows] each

        Raises ConfigError for a step to sigma 0 of an order above 1.
        """
        row = np.arange(rows)
        order = np.minimum(row + 1, self.order)
        if self.lower_final:
            order = np.minimum(order, rows - row)
        if self.final == "zero" and order[-1] > 1:
            raise ConfigError(
                f"the step to sigma 0 is of order {order[-1]}, expected 1, as lambda is infinite "
                "there: set lower_order_final to true, or final_sigmas_type to sigma_min"
            )
        left = np.isin(row, [rows - 1, *self.uncorrected])
        return order, np.where(left, 0, order + 1)

    def end(self, sigma: Array) -> float:
        """0, or as with the other methods. sigma [rows]"""
        return 0.0 if self.final == "zero" else super().end(sigma)

    def linear(self, steps: Steps) -> tuple[Array, Array]:
        """of_x, and no noise: -> [rows] each"""
        return exponential(steps, self.algorithm).of_x, np.zeros(len(steps.t))

    def predictor(self, steps: Steps) -> Array:
        """UniP: -> [values,rows]"""
        return weights(exponential(steps, self.algorithm), places(steps), self.bh2)

    def corrector(self, steps: Steps) -> Array:
        """UniC, which knows the value at r = 1 too: -> [1 + values,rows]"""
        part = exponential(steps, self.algorithm)
        r = np.concatenate([places(steps), np.ones_like(part.g)[None]])
        return np.roll(weights(part, r, self.bh2), 1, axis=0)


def _is_row(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS


ROWS = Key(
    [],
    "a list of rows, integers from 0",
    lambda v: isinstance(v, list | tuple) and len(v) <= MAX_STEPS and all(map(_is_row, v)),
)


def _build(c: Values, dialect: Dialect) -> UniPc:
    data = c["predict_x0"]
    if not data and c["final_sigmas_type"] == "zero":
        raise ConfigError(
            "predict_x0 is false with final_sigmas_type zero, expected sigma_min, as eps is "
            "undefined at sigma 0: set it so, or predict_x0 to true"
        )
    if not data:
        refuse_flow("predict_x0 is false", "true", c)
    parts = path_parts(c, dialect)
    if not data:  # thresholding is for predict_x0 only
        parts["correction"] = keep
    return UniPc(
        **parts,
        order=c["solver_order"],
        algorithm="dpmsolver++" if data else "dpmsolver",
        bh2=c["solver_type"] != "bh1",
        lower_final=c["lower_order_final"],
        uncorrected=frozenset(c["disable_corrector"]),
    )


ENTRY = Entry(
    "unipc",
    "UniPCMultistepScheduler",
    _build,
    order=3,
    good_for="5 to 15 steps",
    read={
        **path_keys(),
        "solver_order": integer(2, 1, 3),
        "predict_x0": flag(True),
        # the words of other solvers stand for the first
        "solver_type": choice("bh2", "bh1", "midpoint", "heun", "logrho"),
        "lower_order_final": flag(True),
        "disable_corrector": ROWS,
    },
    options=MU,
    neutral={"solver_p": None},
)
