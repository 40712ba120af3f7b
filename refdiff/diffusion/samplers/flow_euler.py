"""Euler's method on rectified flow (2403.03206, section 2), what SD3 and Flux are sampled with.

x_next = x + (sigma_next - sigma) v
"""

from dataclasses import dataclass
from typing import NamedTuple

from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic
from refdiff.diffusion.samplers.flow import FlowPath, StraightFlow
from refdiff.diffusion.samplers.flow_keys import FLOW, MU, VELOCITY, path_of
from refdiff.diffusion.samplers.flow_lcm import FlowLcm
from refdiff.diffusion.samplers.keys import Values, flag
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.types import Array, Dialect


class FlowEulerRow(NamedTuple):
    """x + (sigma_next - sigma) v"""

    t: float
    sigma: float
    sigma_next: float


@dataclass(frozen=True)
class FlowEuler(Deterministic, StraightFlow):
    """Euler along the flow."""

    path: FlowPath

    def plan(self, steps: int) -> Plan[FlowEulerRow]:
        """One row a step; the last leads to the data."""
        t, path = self.path.levels(steps)
        return tabulate(FlowEulerRow, t=t, sigma=path[:-1], sigma_next=path[1:])

    def step(
        self,
        plan: Plan[FlowEulerRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """x + (sigma_next - sigma) v: exact where the flow is straight.

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        return x + (row.sigma_next - row.sigma) * self.velocity(out), None


def _build(c: Values, dialect: Dialect) -> FlowEuler | FlowLcm:
    """stochastic_sampling makes another sampler of it: renewed noise instead of Euler's step."""
    return (FlowLcm if c["stochastic_sampling"] else FlowEuler)(path_of(c, dialect))


ENTRY = Entry(
    "flow_euler",
    "FlowMatchEulerDiscreteScheduler",
    _build,
    order=1,
    good_for="rectified flow: what SD3 and Flux ship with",
    read={**FLOW, "stochastic_sampling": flag(False)},
    options=MU,
    neutral=VELOCITY,
)
