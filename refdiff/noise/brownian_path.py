"""A Brownian path from a seed, as torchsde's BrownianTree draws it.

W(t0, t1) is normal with the variance t1 - t0. Between two times whose increment W is known the path
is a Brownian bridge (Lévy 1948): of the halves [a, m] and [m, b] of an interval

    W(a, m) = (m - a) / (b - a) W(a, b) + sqrt((m - a)(b - m) / (b - a)) z,
    W(m, b) = W(a, b) - W(a, m).

A query is the sum, from left to right, over the fewest halves of halves that make it up. All times
are rounded to 1e-6, so the halving ends. Since z has a seed of its own for every interval,

    SeedSequence(seed, spawn_key = (k, depth)), k = 0, 2k for left halves and 2k + 1 for right,

an answer depends on the query alone, not on those before it, and is the same every time.

Sources: Li et al. 2020, "Scalable Gradients for Stochastic Differential Equations", algorithm 3;
torchsde 0.2.6, brownian_interval.py.
"""

import math
from collections.abc import Callable
from functools import lru_cache, reduce

import numpy as np

from .source import Floats, Source, narrowed

Draw = Callable[[int], Source]

DIGITS = 6
POOL = 24
REMEMBERED = 64  # normals of so many intervals; from the top down to 1e-6 there are 41

# k, depth, start, end
Interval = tuple[int, int, float, float]


class BrownianPath:
    """One path over [t0, t1], t0 <= t1: called with two times it gives the increment between."""

    def __init__(
        self, seed: int, shape: tuple[int, ...], span: tuple[float, float], dtype: str, draw: Draw
    ) -> None:
        self._seed, self._shape, self._dtype, self._draw = seed, shape, dtype, draw
        self._start, self._end = (round(t, DIGITS) for t in span)
        whole = self._normal(np.random.SeedSequence(seed, pool_size=POOL))
        self._whole = self._times(math.sqrt(span[1] - span[0]), whole)
        self._bridge = lru_cache(REMEMBERED)(self._bridge_normal)

    def __call__(self, ta: float, tb: float) -> Floats:
        """W(ta, tb), for ta <= tb; times outside [t0, t1] are taken to its ends."""
        a, b = (round(min(max(t, self._start), self._end), DIGITS) for t in (ta, tb))
        if a == b:
            return np.zeros_like(self._whole)
        top = (0, 0, self._start, self._end)
        return reduce(self._sum, self._parts(top, self._whole, a, b))

    def _parts(self, interval: Interval, whole: Floats, a: float, b: float) -> list[Floats]:
        """The increments that make up [a, b], in order, where `whole` is the interval's own."""
        k, depth, start, end = interval
        if (a, b) == (start, end):
            return [whole]
        middle = round(0.5 * (end + start), DIGITS)
        left, right = self._halves(interval, middle, whole)
        parts = []
        if a < middle:
            parts += self._parts((2 * k, depth + 1, start, middle), left, a, min(b, middle))
        if b > middle:
            parts += self._parts((2 * k + 1, depth + 1, middle, end), right, max(a, middle), b)
        return parts

    def _halves(self, interval: Interval, middle: float, whole: Floats) -> tuple[Floats, Floats]:
        """The increments before and after the middle."""
        k, depth, start, end = interval
        before, after, share = middle - start, end - middle, 1 / (end - start)
        mean = self._times(share, self._times(before, whole))
        spread = math.sqrt(before * after * share)
        left = self._sum(mean, self._times(spread, self._bridge(k, depth)))
        return left, self._sum(whole, -left)

    def _bridge_normal(self, k: int, depth: int) -> Floats:
        key = (k, depth)
        return self._normal(np.random.SeedSequence(self._seed, spawn_key=key, pool_size=POOL))

    def _normal(self, sequence: np.random.SeedSequence) -> Floats:
        return self._draw(int(sequence.generate_state(1)[0])).normal(self._shape, self._dtype)

    def _times(self, factor: float, x: Floats) -> Floats:
        if self._dtype == "float64":
            return x * factor
        return narrowed(x.astype(np.float32) * np.float32(factor), self._dtype)

    def _sum(self, x: Floats, y: Floats) -> Floats:
        return narrowed(x + y, self._dtype)
