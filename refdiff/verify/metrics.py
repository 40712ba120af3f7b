"""How far an array is from the exact one, in every measure that somebody asks for.

With d = candidate - reference over n elements:

    rms = sqrt(mean d^2),   SNR = 20 log10(rms reference / rms) dB
    slope = <c, r> / <r, r>,   cosine = <c, r> / (|c| |r|),   R^2 of the fit c ~ slope r = cosine^2
    z = mean d / (std d / sqrt n),   which is of size 1 where errors have no common sign
    ULP = |d| / spacing of the format's numbers in the binade of the *reference*      Muller 2005
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from refdiff.errors import ShapeError
from refdiff.op import Array
from refdiff.verify.formats import FORMATS, Format

CHUNK = 1 << 18  # elements at a time: a few megabytes of intermediates
QUANTILE = 0.999
OUTSIDE = 8  # elements at least that lie beyond it: of fewer it would be little but the maximum
ULP_QUANTILES = (0.5, 0.99, 0.999, 1.0)
Index = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """A size of error in three measures."""

    rms: float
    quantile: float  # 99.9 % of the errors are no larger, or all but the 8 largest
    largest: float

    def max(self, other: "Level") -> "Level":
        """The larger of each."""
        return Level(
            max(self.rms, other.rms),
            max(self.quantile, other.quantile),
            max(self.largest, other.largest),
        )

    def over(self, other: "Level") -> "Level":
        """How many times `other`."""
        return Level(
            ratio(self.rms, other.rms),
            ratio(self.quantile, other.quantile),
            ratio(self.largest, other.largest),
        )


@dataclass(frozen=True)
class Metrics:
    """What `measure` finds. Elements that are not finite on both sides are only counted."""

    n: int
    unequal: int  # elements that differ at all; for whole numbers all there is to say
    level: Level
    reference_rms: float
    reference_peak: float  # max |reference|
    largest_at: Index | None
    cosine: float
    slope: float
    z: float
    nans: tuple[int, int]  # in the reference, in the candidate
    infinities: tuple[int, int]
    broken: int  # elements where one side is not finite and the other is not the same
    broken_at: Index | None  # the first of them

    @property
    def rms(self) -> float:
        """The rms error."""
        return self.level.rms

    @property
    def relative(self) -> float:
        """The rms error over the rms of the reference."""
        return ratio(self.rms, self.reference_rms)

    @property
    def snr(self) -> float:
        """In dB; infinite where nothing differs."""
        with np.errstate(divide="ignore"):
            return float(-20 * np.log10(self.relative))

    @property
    def r_squared(self) -> float:
        """The share of the candidate's energy that slope x reference explains."""
        return self.cosine**2

    @property
    def headroom(self) -> float:
        """How many times the reference's peak goes into 65504: below 1, float16 overflows."""
        return ratio(FORMATS["float16"].largest, self.reference_peak)


@dataclass(frozen=True)
class _Both:
    """Two flat arrays and where both are finite."""

    r: Array
    c: Array
    finite: Array
    scale: float  # a power of two, by which nothing overflows when it is squared

    @classmethod
    def of(cls, reference: Array, candidate: Array) -> "_Both":
        if np.shape(reference) != np.shape(candidate):
            raise ShapeError(
                f"a reference {np.shape(reference)} cannot be compared with {np.shape(candidate)}"
            )
        r, c = np.ravel(reference), np.ravel(candidate)
        finite = np.isfinite(r) & np.isfinite(c)
        scale = 2.0 ** float(np.frexp(max(peak(r, finite), peak(c, finite)))[1])
        return cls(r, c, finite, scale)

    @property
    def n(self) -> int:
        return max(int(np.count_nonzero(self.finite)), 1)

    def parts(self) -> Iterator[tuple[slice, Array, Array]]:
        """A few elements of both at a time, scaled, zeros where they are not finite."""
        for start in range(0, self.r.size, CHUNK):
            part = slice(start, start + CHUNK)
            a, b = (
                np.where(self.finite[part], x[part], 0).astype(np.float64) / self.scale
                for x in (self.r, self.c)
            )
            yield part, a, b


def size_of_error(reference: Array, candidate: Array) -> Level:
    """What `measure` says of the error's size, and nothing else. reference [*], candidate [*]"""
    return _size(_Both.of(reference, candidate))


def _size(both: _Both) -> Level:
    squares, error, n = 0.0, np.zeros(both.r.size), both.n
    for part, a, b in both.parts():
        d = np.subtract(b, a, out=error[part])
        squares += float(d @ d)
        np.abs(d, out=d)
    q = min(QUANTILE, max(0.5, 1 - OUTSIDE / n))
    error = error if both.finite.all() else error[both.finite]
    top = float(error.max(initial=0))
    return Level(*(both.scale * size for size in (np.sqrt(squares / n), quantile(error, q), top)))


def measure(reference: Array, candidate: Array) -> Metrics:
    """Compare `candidate` with the exact `reference`. reference [*], candidate [*]

    Everything is divided by a power of two before it is squared, so that nothing overflows.
    Raises ShapeError where the shapes differ.
    """
    both = _Both.of(reference, candidate)
    shape, r, c, n, scale = np.shape(reference), both.r, both.c, both.n, both.scale
    same = (r == c) | (np.isnan(r) & np.isnan(c))
    broken = np.flatnonzero(~both.finite & ~same)
    level = _size(both)
    sums, at, top = np.zeros(5), None, 0.0
    for part, a, b in both.parts():
        d = b - a
        sums += d.sum(), d @ d, a @ a, b @ b, a @ b
        here = abs(d).argmax()
        if abs(d[here]) > top:
            at, top = part.start + here, abs(d[here])

    bias, dd, rr, cc, rc = map(float, sums)
    return Metrics(
        n=r.size,
        unequal=int(np.count_nonzero(~same)),
        level=level,
        reference_rms=scale * np.sqrt(rr / n),
        reference_peak=peak(r, both.finite),
        largest_at=None if at is None else place(at, shape),
        cosine=ratio(rc, np.sqrt(rr) * np.sqrt(cc), otherwise=float(rr == cc)),
        slope=ratio(rc, rr, otherwise=float(rr == cc)),
        z=ratio(bias, np.sqrt(max(dd - bias**2 / n, 0))),
        nans=(int(np.isnan(r).sum()), int(np.isnan(c).sum())),
        infinities=(int(np.isinf(r).sum()), int(np.isinf(c).sum())),
        broken=broken.size,
        broken_at=place(broken[0], shape) if broken.size else None,
    )


def ulps(reference: Array, candidate: Array, format: Format) -> tuple[float, ...]:
    """How many of a format's spacings they are apart, at ULP_QUANTILES. [*], [*] -> 4 numbers"""
    both = _Both.of(reference, candidate)
    r, c = (x[both.finite].astype(np.float64) for x in (both.r, both.c))
    apart = abs(c - r) / format.ulp(r)
    return tuple(quantile(apart, q) for q in ULP_QUANTILES)


def peak(x: Array, where: Array) -> float:
    """max |x| there."""
    top, bottom = x.max(where=where, initial=0), x.min(where=where, initial=0)
    return max(float(top), -float(bottom))


def quantile(x: Array, q: float) -> float:
    """The smallest element that no smaller share than q of x stays within; x [n], none below 0.

    As few of the largest are sorted out as are surely enough: those beyond twice the rms.
    """
    if not x.size:
        return 0.0
    place = int(np.ceil(q * x.size)) - 1
    tail = x[x > 2 * np.sqrt(x @ x / x.size)]
    below = x.size - tail.size
    part, place = (tail, place - below) if place >= below else (x, place)
    return float(np.partition(part, place)[place])


def place(i: np.intp, shape: Index) -> Index:
    return tuple(map(int, np.unravel_index(i, shape)))


def ratio(a: float, b: float, otherwise: float | None = None) -> float:
    """a / b; where b is zero: `otherwise`, or 0 for 0 / 0 and infinity for the rest."""
    if b:
        return float(a / b)
    return otherwise if otherwise is not None else float(np.copysign(np.inf, a)) if a else 0.0
