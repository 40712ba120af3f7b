"""Rectified flow: data and noise joined by straight lines (2209.03003; 2403.03206, section 2).

    x = (1 - sigma) x0 + sigma eps,  v = dx/dsigma = eps - x0

The model is asked at t = sigma T and says v. Where the sigmas of a plan lie is decided in four
steps, each optional: they fall evenly from 1 to 1/T, are shifted towards the noise as large
pictures need it (2403.03206, eq. 23), stretched to end at a given level, and respaced.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refdiff.diffusion.samplers.families import OneOutput
from refdiff.diffusion.samplers.plan import Plan, Row
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import PRECISION
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError

LEAST_SHIFT = 1e-3  # a shift of 0 would put all sigmas but the first at 0


def shifted(sigma: Array, shift: float) -> Array:
    """sigma at `shift` times the odds sigma / (1 - sigma) (2403.03206, eq. 23): [*] -> [*]"""
    return shift * sigma / (1 + (shift - 1) * sigma)


def stretched(sigma: Array, terminal: float) -> Array:
    """1 - sigma multiplied so that the last sigma is `terminal` (LTX-Video): [rows] -> [rows]

    Raises ConfigError for a single row, whose sigma is 1: nothing is left to multiply.
    """
    if len(sigma) < 2:
        raise ConfigError(
            f"one step was asked for with shift_terminal {terminal!r}, expected two or more, from "
            "noise to that end: take more steps or set shift_terminal to null"
        )
    return 1 - (1 - sigma) / ((1 - sigma[-1]) / (1 - terminal))


@dataclass(frozen=True)
class FlowPath:
    """The sigmas that a plan walks, T training times long. shift None: still to be given as mu.

    dynamic: the shift is that of one picture's size, not the model's. inverted: the model counts
    its times from the noise (t = 0) to the data, and says x0 - eps.
    """

    T: int = 1000
    shift: float | None = 1.0
    dynamic: bool = False
    terminal: float | None = None
    respacing: Respacing | None = None
    inverted: bool = False
    dialect: Dialect = "diffusers"

    @property
    def turned(self) -> bool:
        """Whether what the model says is -v; diffusers keeps v, and takes 1 - sigma for sigma."""
        return self.inverted and self.dialect == "paper"

    def levels(self, steps: int) -> tuple[Array, Array]:
        """Times and sigmas in the dialect's precision: -> t [steps], sigma [steps + 1]

        Raises ConfigError for impossible steps, and where the picture's own shift is missing.
        """
        check_steps(steps, self.T)
        if self.shift is None:
            raise ConfigError(
                "use_dynamic_shifting is true and no shift is known, expected one of this "
                "picture's size: give mu=... or image_seq_len=... with the config"
            )
        ends = np.array([1.0, 1 / self.T], PRECISION[self.dialect])
        if self.dialect == "diffusers" and not self.dynamic:
            ends = shifted(ends, self.shift)  # and all between them once more below
        sigma: Array = shifted(np.linspace(float(ends[0]), float(ends[1]), steps), self.shift)
        if self.terminal:
            sigma = stretched(sigma, self.terminal)
        if self.respacing is not None:
            sigma = self.respacing(float(sigma[0]), float(sigma[-1]), steps)
        path = np.append(sigma, 0.0).astype(ends.dtype)
        times = (1 - path if self.inverted else path)[:-1] * self.T
        return times, 1 - path if self.inverted and not self.turned else path


def dynamic_shift(mu: float, kind: str) -> float:
    """The shift that mu stands for, at least LEAST_SHIFT: "exponential" e^mu, "linear" mu."""
    shift = math.exp(mu) if kind == "exponential" else mu
    if not shift >= LEAST_SHIFT:
        raise ConfigError(
            f"mu is {mu!r}, which with time_shift_type {kind} is a shift of {shift:g}, expected "
            f"one of at least {LEAST_SHIFT:g}: give a larger mu"
        )
    return shift


class FlowRow(Row, Protocol):
    """A row that knows the noise's share in x."""

    @property
    def sigma(self) -> float:
        """The noise's share in x."""


class StraightFlow(OneOutput):
    """Start, noising and input of the samplers that walk straight lines."""

    path: FlowPath

    def init_noise_sigma(self, plan: Plan[Any]) -> float:
        """1: a plan begins where x is nothing but noise."""
        return 1.0

    def add_noise(self, plan: Plan[FlowRow], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        sigma = plan.rows[i].sigma
        return sigma * eps + (1 - sigma) * x0

    def level(self, plan: Plan[FlowRow], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        sigma = plan.rows[i].sigma
        return 1 - sigma, sigma

    def scale_input(self, plan: Plan[Any], i: int, x: Array) -> Array:
        """x itself: the model knows this scaling. x [N,C,H,W] -> [N,C,H,W]"""
        return x

    def velocity(self, out: Array) -> Array:
        """v of what the model says. out [N,C,H,W] -> [N,C,H,W]"""
        return -out if self.path.turned else out
