"""Many tensors of one size against each other, in every layout, by a few of their elements.

Elements are taken at places of the reference, which a layout maps exactly: the comparison is
that of the whole arrays, only of fewer numbers.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from refdiff.op import Array
from refdiff.verify.distance import sample, spread
from refdiff.verify.layouts import LIMIT, Shape, fits

COARSE = 32  # elements that rule out most pairs


@lru_cache(maxsize=1024)
def sources(reference: Shape, candidate: Shape) -> Array:
    """For every layout, where the sampled elements lie in the candidate: -> [layouts, n]"""
    places = sample(math.prod(reference))
    layouts = fits(reference, candidate)
    return np.array([layout.source(places) for layout in layouts], np.intp)


def take(x: Array, places: Array) -> Array:
    """The values at flat places, in float64: -> [*places]

    Infinities and NaN are 0: this is a rough comparison, and the whole one looks at them.
    """
    values = x.reshape(-1)[places].astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class Samples:
    """Samples [m,n] of tensors of one shape, their spreads, and of each every so manieth value."""

    rows: Array
    scale: Array
    every: slice
    few: Array

    @classmethod
    def of(cls, rows: Array) -> "Samples":
        every = slice(None, None, max(1, rows.shape[1] // COARSE))
        scale = np.array([spread(row) for row in rows])
        return cls(rows, scale, every, np.ascontiguousarray(rows[:, every]))

    def errors(self, values: Array) -> Array:
        """Relative error of every row against the nearest of the values: [layouts,n] -> [m]

        Most pairs are told apart by a few elements, in one product of matrices.
        """
        few = np.ascontiguousarray(values[:, self.every])
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (self.few**2).sum(1)[:, None] + (few**2).sum(1) - 2 * self.few @ few.T
            found = np.sqrt(np.maximum(squares, 0) / few.shape[1]) / self.scale[:, None]
            for k, column in enumerate(found.T):
                close = ~(column >= 3 * LIMIT)
                if close.any():
                    gap = self.rows[close] - values[k]
                    column[close] = np.sqrt(np.mean(gap * gap, axis=1)) / self.scale[close]
        return np.nan_to_num(found, nan=np.inf).min(axis=1)
