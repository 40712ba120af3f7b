"""Floating-point formats as numbers, and how an implementation uses them.

A format of p bits rounds a real number with a relative error of at most u = 2^-p, the unit
roundoff, and n such roundings in a row with at most gamma_n = n u / (1 - n u) (Higham 2002,
Accuracy and Stability of Numerical Algorithms, lemma 3.1).
"""

from dataclasses import dataclass

import numpy as np

from refdiff import op
from refdiff.op import Array


@dataclass(frozen=True)
class Format:
    """A binary format: bits of precision, exponents of its smallest and largest normal binade."""

    name: str
    precision: int
    low: int
    high: int

    @property
    def unit(self) -> float:
        """u, half the spacing above 1: the largest relative error of one rounding."""
        return float(2.0**-self.precision)

    @property
    def normal(self) -> float:
        """The smallest normal number; what is smaller may be flushed to zero."""
        return float(2.0**self.low)

    @property
    def subnormal(self) -> float:
        """The smallest number above zero."""
        return float(2.0 ** (self.low - self.precision + 1))

    @property
    def largest(self) -> float:
        """The largest finite number: 65504 in float16."""
        return float((2 - 2 * self.unit) * 2.0**self.high)

    def nearest(self, x: Array) -> Array:
        """x rounded to the format, in x's own dtype. x [*] -> [*]"""
        return op.round_to(x, self.name) if self.name in op.FORMATS else x

    def ulp(self, x: Array) -> Array:
        """The spacing of the format's numbers in the binade of x. x [*] -> [*]

        Below the smallest normal number it stays what it is there.
        """
        exponent = np.where(x == 0, self.low, np.frexp(x)[1] - 1)
        return np.ldexp(1.0, np.maximum(exponent, self.low) - self.precision + 1)


FORMATS = {name: Format(name, *numbers) for name, numbers in op.FORMATS.items()}
FORMATS["float64"] = Format("float64", 53, -1022, 1023)


@dataclass(frozen=True)
class Profile:
    """How an implementation keeps numbers: between ops, inside sums, as factors of products."""

    name: str
    storage: Format
    accumulation: Format
    factors: Format | None = None  # what both sides of a matrix product are rounded to before it

    @property
    def u(self) -> float:
        """The unit roundoff inside an op.

        The float64 values that stand for the exact ones are rounded too, by 2^-53 a step.
        """
        return self.accumulation.unit + FORMATS["float64"].unit

    def gamma(self, n: int) -> float:
        """n roundings in a row, in any order of summation; infinite where n u reaches 1."""
        return n * self.u / (1 - n * self.u) if n * self.u < 1 else float("inf")


_single = FORMATS["float32"]
FLOAT64 = Profile("float64", FORMATS["float64"], FORMATS["float64"])
FLOAT32 = Profile("float32", _single, _single)
TF32 = Profile("tf32", _single, _single, factors=FORMATS["tf32"])
FLOAT16 = Profile("float16", FORMATS["float16"], _single)
BFLOAT16 = Profile("bfloat16", FORMATS["bfloat16"], _single)
PROFILES = {p.name: p for p in (FLOAT64, FLOAT32, TF32, FLOAT16, BFLOAT16)}
