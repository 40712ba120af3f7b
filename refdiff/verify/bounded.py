"""Arrays that know how far an honest computation can be from them: running error analysis.

With |x^ - x| <= e_x and |y^ - y| <= e_y for the computed x^ and y^,

    |(x^ + y^) - (x + y)|  <=  e_x + e_y
    |x^ y^ - x y|          <=  |x| e_y + e_x |y| + e_x e_y
    |x^ / y^ - x / y|      <=  (e_x |y| + |x| e_y) / (|y| (|y| - e_y))          where e_y < |y|
    |fl(z^) - z|           <=  e_z + u (|z| + e_z) + s                          rounding z^

(Higham 2002, §3.3; Wilkinson 1986), u the unit roundoff and s the smallest number of the storage
format. Nothing is dropped for being small: the bounds are proofs. What an op does to them stands
in `bound_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from refdiff.errors import ConfigError, ShapeError
from refdiff.op import Array
from refdiff.verify.formats import FORMATS, Format, Profile

_profile: ContextVar[Profile | None] = ContextVar("refdiff profile", default=None)


def current_profile() -> Profile:
    """The profile of the innermost `with under(...)`. Raises ConfigError outside of any."""
    profile = _profile.get()
    if profile is None:
        raise ConfigError("arithmetic on Bounded needs a profile: with bounding(FLOAT32): ...")
    return profile


@contextmanager
def under(profile: Profile) -> Iterator[None]:
    """Let arithmetic on `Bounded` round as `profile` does."""
    token = _profile.set(profile)
    try:
        yield
    finally:
        _profile.reset(token)


@dataclass(frozen=True)
class Excess:
    """How a candidate lies within a bound."""

    count: int  # elements that no honest rounding explains
    worst: float  # the largest |candidate - exact| / bound
    at: tuple[int, ...] | None  # where that is
    terms: int  # the longest sum that the bound went through


@dataclass(frozen=True, eq=False)
class Bounded:
    """The exact result, and elementwise how far a computed one can be from it; both float64."""

    value: Array
    error: Array
    terms: int = 1  # the longest sum on the way here

    __array_ufunc__ = None  # arrays leave mixed arithmetic to this class

    @classmethod
    def exact(cls, x: Any) -> Bounded:
        """What every implementation is given alike. x [*] -> [*]"""
        value = np.asarray(x, np.float64)
        return cls(value, np.zeros_like(value))

    @property
    def reach(self) -> Array:
        """The largest magnitude that a computed element can have."""
        return abs(self.value) + self.error

    def excess(self, candidate: Array) -> Excess:
        """Where `candidate` is further from the value than any rounding takes it.

        Raises ShapeError where the shapes differ.
        """
        if candidate.shape != self.shape:
            raise ShapeError(f"a bound for {self.shape} says nothing of {candidate.shape}")
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            gap = np.where(candidate == self.value, 0, abs(candidate - self.value))
            share = np.where(gap == 0, 0, gap / self.error)
        # a NaN may come of an overflow, which is where the bound is infinite
        share = np.where(np.isnan(share), np.where(np.isinf(self.error), 0, np.inf), share)
        if not share.size:
            return Excess(0, 0.0, None, self.terms)
        at = np.unravel_index(share.argmax(), share.shape)
        count = int(np.count_nonzero(share > 1))
        return Excess(count, float(share[at]), tuple(map(int, at)), self.terms)

    def __add__(self, other: Operand) -> Bounded:
        y = of(other)
        return self._with(y, self.value + y.value, self.error + y.error)

    def __sub__(self, other: Operand) -> Bounded:
        return self + -of(other)

    def __mul__(self, other: Operand) -> Bounded:
        y = of(other)
        error = abs(self.value) * y.error + self.error * y.reach
        return self._with(y, self.value * y.value, error)

    def __truediv__(self, other: Operand) -> Bounded:
        y = of(other)
        nearest_zero = abs(y.value) - y.error
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.value / y.value
            error = (self.error + abs(value) * y.error) / nearest_zero
        return self._with(y, value, np.where(nearest_zero > 0, error, np.inf))

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.error, self.terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Operand) -> Bounded:
        return of(other) - self

    def __rtruediv__(self, other: Operand) -> Bounded:
        return of(other) / self

    def _with(self, other: Bounded, value: Array, error: Array) -> Bounded:
        return stored(Bounded(value, error, max(self.terms, other.terms)))

    def clip(self, low: float, high: float) -> Bounded:
        """Clipping brings no two numbers further apart."""
        return Bounded(self.value.clip(low, high), self.error, self.terms)

    def move(self, f: Callable[[Array], Array]) -> Bounded:
        """`f` only moves elements, so it moves their bounds alike."""
        return Bounded(f(self.value), f(self.error), self.terms)

    def reshape(self, *shape: Any) -> Bounded:
        return self.move(lambda a: a.reshape(*shape))

    def swapaxes(self, a: int, b: int) -> Bounded:
        return self.move(lambda x: x.swapaxes(a, b))

    def transpose(self, *axes: Any) -> Bounded:
        return self.move(lambda a: a.transpose(*axes))

    def __getitem__(self, index: Any) -> Bounded:
        return self.move(lambda a: np.asarray(a[index]))

    def astype(self, dtype: Any, copy: bool = True) -> Bounded:
        """Itself: what a computation rounds to is its profile's affair."""
        return self

    def __len__(self) -> int:
        return len(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype


Operand: TypeAlias = Bounded | Array | float


def of(x: Operand) -> Bounded:
    """x as a bounded array: weights are exact, a number in the code is rounded once."""
    if isinstance(x, Bounded):
        return x
    exact = Bounded.exact(x)
    return rounded_once(exact, current_profile().storage) if isinstance(x, float) else exact


def rounded_once(x: Bounded, format: Format) -> Bounded:
    """What rounding does to exact numbers is known: nothing to those that the format has."""
    return Bounded(x.value, abs(format.nearest(x.value) - x.value), x.terms)


def rounded(x: Bounded, format: Format) -> Bounded:
    """x after its computed elements were rounded to `format`; infinite where they may overflow."""
    u = format.unit + FORMATS["float64"].unit
    error = x.error + u * x.reach + format.subnormal
    error = np.where(x.reach * (1 + u) < format.largest, error, np.inf)
    # the one infinity of the models is the mask of attention, and it is exact
    return Bounded(x.value, np.where(np.isinf(x.value), 0, error), x.terms)


def stored(x: Bounded) -> Bounded:
    """x as it passes from one op to the next."""
    return rounded(x, current_profile().storage)
