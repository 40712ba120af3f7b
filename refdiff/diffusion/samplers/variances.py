"""The variance of a step back, fixed or said by the model.

Sigma lies between the posterior's variance, "small", and beta, "large" (2006.11239, section 3.2):

    learned_range: log Sigma = v log(beta) + (1 - v) log(small), 2102.09672, eq. 15; it says 2v - 1
    learned:       log Sigma is what the model says

diffusers computes small_log through its logarithm, takes the root of the logarithm of beta for
large_log, and the root of what the model says for learned.
"""

from typing import Literal, Protocol

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.types import Array, Dialect

Variance = Literal["small", "small_log", "large", "large_log", "learned", "learned_range"]
LEARNED = ("learned", "learned_range")


class Ranged(Protocol):
    """A row that knows the two ends of the range."""

    @property
    def log_small(self) -> float:
        """Logarithm of the posterior's variance."""

    @property
    def log_large(self) -> float:
        """Logarithm of beta."""


def log(variance: Array) -> Array:
    """Its logarithm, where it is at least 1e-20, as in diffusers: [rows] -> [rows]"""
    return rounded.log(np.maximum(variance, 1e-20))


def fixed_std(kind: Variance, small: Array, large: Array, dialect: Dialect) -> Array:
    """Standard deviation by kind, 1 where the model says it: small, large [rows] -> [rows]"""
    if kind in LEARNED:
        return np.ones_like(small)
    if dialect == "diffusers" and kind == "small_log":
        return rounded.exp(0.5 * log(small))
    if dialect == "diffusers" and kind == "large_log":
        # the root of log(beta): 0 where beta is 1, else NaN, which nobody can want
        return np.where(large < 1, np.sqrt(large), 0)
    return np.sqrt(small if kind in ("small", "small_log") else large)


def learned_std(kind: Variance, said: Array, row: Ranged, dialect: Dialect) -> Array:
    """Standard deviation by what the model says: said [N,C,H,W] -> [N,C,H,W]"""
    if kind == "learned_range":
        v = (said + 1) / 2
        return np.exp(0.5 * (v * row.log_large + (1 - v) * row.log_small))
    if dialect == "diffusers":
        return np.sqrt(np.maximum(said, 0))  # NaN in diffusers below 0
    return np.exp(0.5 * said)
