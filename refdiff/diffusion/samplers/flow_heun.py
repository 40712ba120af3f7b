"""Heun's method on rectified flow: each step once more, with the mean of the slopes at its ends.

    x'     = x + (sigma_next - sigma) v                  stage 1, Euler's step
    x_next = x + (sigma_next - sigma) (v + v') / 2       stage 2, v' at (x', sigma_next)

The last step, to the data, has its first stage only. diffusers adds churn as if x were x0 + sigma
eps (2206.00364, Algorithm 2), which leaves the flow's own noise levels: on paper there is none.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion.samplers.churn import CHURN, NO_CHURN, Churn, churn_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.flow import FlowPath, StraightFlow
from refdiff.diffusion.samplers.flow_keys import SHIFT, VELOCITY, path_of
from refdiff.diffusion.samplers.keys import Values
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.sigmas import slope
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class FlowHeunRow(NamedTuple):
    """The model is asked at sigma; stage 1 leads from sigma_hat to sigma_next, stage 2 again."""

    t: float
    sigma: float
    sigma_hat: float
    sigma_next: float
    noise_std: float
    stage: int


class Begun(NamedTuple):
    """A step whose first stage is done: where it began, its slope there and its length."""

    x: Array
    slope: Array
    length: float


@dataclass(frozen=True)
class FlowHeun(Stochastic, StraightFlow):
    """Heun along the flow."""

    path: FlowPath
    churn: Churn = NO_CHURN

    def __post_init__(self) -> None:
        if self.churn.s_churn > 0 and self.path.dialect == "paper":
            raise ConfigError(
                f"s_churn is {self.churn.s_churn!r} in the paper dialect, expected 0, as the noise "
                "that diffusers adds is no part of rectified flow: leave it out, or use flow_lcm"
            )

    def plan(self, steps: int) -> Plan[FlowHeunRow]:
        """Two rows a step, but one for the last."""
        t, path = self.path.levels(steps)
        first = self.churn.columns(path, 2 * steps - 1, "diffusers")
        noise, sigma_next = first["noise_before"], first["sigma_next"]

        def rows(stage_1: Array, stage_2: Array) -> Array:
            return np.stack([stage_1, stage_2], axis=1).ravel()[:-1]

        return tabulate(
            FlowHeunRow,
            t=rows(t, np.append(t[1:], 0)),
            sigma=rows(first["sigma"], sigma_next),
            sigma_hat=rows(first["sigma_hat"], sigma_next),
            sigma_next=rows(sigma_next, sigma_next),
            noise_std=rows(noise, noise),
            stage=rows(np.full(steps, 1), np.full(steps, 2)),
        )

    def step(
        self,
        plan: Plan[FlowHeunRow],
        i: int,
        x: Array,
        out: Array,
        memory: Begun | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Begun | None]:
        """Stage 1 or stage 2, by the row.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        A run may start at a second stage: it has nothing to improve, and row i + 1 begins a step.
        """
        row = plan.rows[i]
        x_hat = with_noise(x, row.noise_std, noise)
        v = out
        if self.path.dialect == "diffusers":  # by way of x0, which rounds, and shrinks v by churn
            v = slope(x_hat, x_hat - out * row.sigma, row.sigma_hat)
        if row.stage == 1:
            length = row.sigma_next - row.sigma_hat
            return x_hat + v * length, Begun(x_hat, v, length)
        if memory is None:
            return x, None
        return memory.x + 0.5 * (memory.slope + v) * memory.length, None


def _build(c: Values, dialect: Dialect) -> FlowHeun:
    return FlowHeun(path_of(c, dialect), churn_of(c))


ENTRY = Entry(
    "flow_heun",
    "FlowMatchHeunDiscreteScheduler",
    _build,
    order=2,
    good_for="rectified flow, more exactly: two calls a step",
    read=SHIFT,
    options=CHURN,
    neutral=VELOCITY,
)
