"""Rectified flow with all noise renewed in each step, for distilled models (LCM, 2310.04378).

x0     = x - sigma v
x_next = (1 - sigma_next) x0 + sigma_next z
"""

from dataclasses import dataclass
from typing import NamedTuple

from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.flow import FlowPath, StraightFlow
from refdiff.diffusion.samplers.flow_keys import FLOW, MU, VELOCITY, path_of
from refdiff.diffusion.samplers.keys import Values, choice
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.types import Array, Dialect


class FlowLcmRow(NamedTuple):
    """(1 - noise_std) x0 + noise_std z: the noise's share in the next x, all of it new."""

    t: float
    sigma: float
    noise_std: float


@dataclass(frozen=True)
class FlowLcm(Stochastic, StraightFlow):
    """To the data in one stride, and back to the next sigma with fresh noise."""

    path: FlowPath

    def plan(self, steps: int) -> Plan[FlowLcmRow]:
        """One row a step; the last leads to the data."""
        t, path = self.path.levels(steps)
        return tabulate(FlowLcmRow, t=t, sigma=path[:-1], noise_std=path[1:])

    def step(
        self,
        plan: Plan[FlowLcmRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """The data that v points to, noised afresh to the next sigma.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = x - row.sigma * self.velocity(out)
        return with_noise((1 - row.noise_std) * x0, row.noise_std, noise), None


UPSCALE = ("nearest", "nearest-exact", "area", "linear", "bilinear", "trilinear")


def _build(c: Values, dialect: Dialect) -> FlowLcm:
    return FlowLcm(path_of(c, dialect))


ENTRY = Entry(
    "flow_lcm",
    "FlowMatchLCMScheduler",
    _build,
    order=1,
    good_for="rectified flow distilled to few steps",
    # upscale_mode says how pictures grow by scale_factors, and nothing where they do not
    read={**FLOW, "upscale_mode": choice("bicubic", *UPSCALE)},
    options=MU,
    neutral={**VELOCITY, "scale_factors": None},
)
