"""What the exponential integrators share: their path of noise levels, and what they read of out."""

import math
from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.samplers.conversions import EPS, X0, LevelRow, corrected_eps
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.families import Mixing
from refdiff.diffusion.samplers.flow import shifted
from refdiff.diffusion.samplers.lambdas import Levels, preserving, straight
from refdiff.diffusion.samplers.respacing import Respacing, uniform_lambda
from refdiff.diffusion.samplers.sigmas import interpolated, sigma_table, to_t
from refdiff.diffusion.samplers.timesteps import Listed, Spacing, check_steps, spread
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError


@dataclass(frozen=True)
class Solver(Mixing):
    """The parts of a solver in lambda.

    Sigma follows the times' spacing, unless `respacing` spaces it by itself between the whole
    schedule's ends, or `flow_shift` makes it that of a straight flow (2403.03206, eq. 23).
    lambda_min leaves out the times whose lambda is lower. With `nearest` respaced times are rounded
    in the diffusers dialect, else truncated; on paper they stay as they are.
    With `learned` the model says a variance beside eps, which is not used.
    """

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    correction: Correction = keep
    respacing: Respacing | None = None
    nearest: bool = False
    flow_shift: float | None = None
    lambda_min: float = -math.inf
    learned: bool = False

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of x, with twice the channels where a variance is said too."""
        return (shape[0], 2 * shape[1], *shape[2:]) if self.learned else shape

    def x0(self, x: Array, out: Array, row: LevelRow) -> Array:
        """The data that the model's output implies. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
        return self.correction(X0[self.prediction](x, self._mean(x, out), row))

    def eps(self, x: Array, out: Array, row: LevelRow) -> Array:
        """The noise that the model's output implies. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
        eps = EPS[self.prediction](x, self._mean(x, out), row)
        return corrected_eps(x, eps, row, self.correction)

    def _mean(self, x: Array, out: Array) -> Array:
        return out[:, : x.shape[1]] if self.learned else out

    def levels(self, sigma: Array, end: float) -> Levels:
        """What x is made of along sigma and at the end: sigma [rows] -> [rows + 1] each"""
        if np.isclose(sigma[-1], end, rtol=1e-12, atol=0):
            end = float(sigma[-1])  # where sigma has fallen to its end, no rounding takes it up
        path = np.append(sigma, end).astype(self.schedule.alpha_bar.dtype)
        return preserving(path) if self.flow_shift is None else straight(path)

    def grid(self, steps: int) -> tuple[Array, Array]:
        """Where the model is asked: times and sigmas in falling order: -> t [rows], [rows]

        Raises ConfigError for steps that are no integer from 1 to T.
        """
        T, table = len(self.schedule), sigma_table(self.schedule)
        check_steps(steps, T)
        if self.respacing is not None:
            sigma: Array = self.respacing(*self.ends(table), steps)
            return self.asked(to_t(table, sigma)), sigma
        if self.flow_shift is not None:
            sigma = shifted(1 - np.linspace(1, 1 / T, steps + 1)[:0:-1], self.flow_shift)
            return self.asked(sigma * T), sigma
        t = open_ended(self.schedule, steps, self.spacing, self.offset, self._top(table))
        return t, interpolated(table, t)

    def ends(self, table: Array) -> tuple[float, float]:
        """Between which sigmas a respacing leads."""
        if self.respacing is uniform_lambda:  # diffusers spaces logarithms in float32
            table = np.exp(np.log(table).astype(np.float64))
        return float(table[-1]), float(table[0])

    def asked(self, t: Array) -> Array:
        """Respaced times as the model is asked at them: t [rows] -> [rows]"""
        if self.schedule.dialect == "paper":
            return t
        return (np.round(t) if self.nearest else t).astype(np.int64)

    def _top(self, table: Array) -> int:
        """How many times are left below lambda_min."""
        top = int(np.searchsorted(np.log(table), -self.lambda_min, side="right"))
        if top == 0:
            raise ConfigError(
                f"lambda_min_clipped is {self.lambda_min}, above every lambda of the noise "
                "schedule, expected one that leaves times to sample at: choose a lower one"
            )
        return top


def open_ended(
    schedule: NoiseSchedule, steps: int, spacing: Spacing, offset: int, top: int
) -> Array:
    """Whole times below `top`, where leading and linspace leave out their last: -> [rows]"""
    if spacing == "trailing" or isinstance(spacing, Listed):
        t = spread(schedule, steps, spacing, offset, top)
    else:
        t = spread(schedule, steps + 1, spacing, offset, top)[:-1]
    return np.round(t).astype(np.int64)
