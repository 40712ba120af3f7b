"""From what a network predicts to x0 or eps, where x = alpha x0 + std eps with any alpha and std.

Variance preserving: alpha^2 + std^2 = 1, where v = alpha eps - std x0. Straight flow: alpha + std
= 1, where the network's velocity is eps - x0. sigma = std / alpha, or std in the straight flow.
"""

from collections.abc import Callable
from typing import Protocol

from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.families import MixedRow
from refdiff.diffusion.types import Array


class LevelRow(MixedRow, Protocol):
    """A row that knows its noise level by its three names."""

    @property
    def sigma(self) -> float:
        """The level as the plan spaces it."""


def x0_from_eps(x: Array, eps: Array, row: MixedRow) -> Array:
    """x = alpha x0 + std eps, solved for x0. x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
    return (x - row.std * eps) / row.alpha


def x0_from_v(x: Array, v: Array, row: MixedRow) -> Array:
    """2202.00512, appendix D, variance preserving. x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]"""
    return row.alpha * x - row.std * v


def x0_from_velocity(x: Array, velocity: Array, row: LevelRow) -> Array:
    """Back along the straight flow. x [N,C,H,W], velocity [N,C,H,W] -> [N,C,H,W]"""
    return x - row.sigma * velocity


def eps_from_x0(x: Array, x0: Array, row: MixedRow) -> Array:
    """x = alpha x0 + std eps, solved for eps. x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]"""
    return (x - row.alpha * x0) / row.std


def eps_from_v(x: Array, v: Array, row: MixedRow) -> Array:
    """2202.00512, appendix D, variance preserving. x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]"""
    return row.alpha * v + row.std * x


def itself(x: Array, out: Array, row: MixedRow) -> Array:
    """The model says what is asked for. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
    return out


Conversion = Callable[[Array, Array, LevelRow], Array]

# by the names that scheduler_config.json gives to what the network predicts
X0: dict[str, Conversion] = {
    "epsilon": x0_from_eps,
    "sample": itself,
    "v_prediction": x0_from_v,
    "flow_prediction": x0_from_velocity,
}
EPS: dict[str, Conversion] = {
    "epsilon": itself,
    "sample": eps_from_x0,
    "v_prediction": eps_from_v,
}


def corrected_eps(x: Array, eps: Array, row: MixedRow, correction: Correction) -> Array:
    """The eps that a corrected x0 implies. x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
    if correction is keep:
        return eps
    return eps_from_x0(x, correction(x0_from_eps(x, eps, row)), row)
