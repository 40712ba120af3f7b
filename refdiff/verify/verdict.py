"""Whether an error is honest rounding: judged in multiples of what honest runs of refdiff show.

    rho = error / max(noise, floor)

The noise is the largest error of several honest runs, the floor that of rounding the exact values
themselves to the storage format, which no run can avoid. rho is taken of the rms error, of its
99.9 % quantile and, ten times wider, of its maximum. A single element beyond the bound of
`bound_rules` is a proof: no order of summation gives it.

Few elements make rho itself uncertain. The rms of n independent errors has a relative spread of
1 / sqrt(2 n) where they are normal (the variance of a mean of n squares is 2 sigma^4 / n), and the
noise of k runs one of 1 / sqrt(2 n k) at most; so log rho has the standard deviation

    s(n, k) = sqrt((1 + 1/k) / (2 n))

The gates have room for that of 64 elements; below, they are widened by exp(3 (s(n, k) - s(64, k))),
three standard deviations. Errors are not independent where a whole group of elements shares a mean
or a variance: then n is how many channels of samples the honest error is spread over,

    n = (sum e)^2 / sum e^2,   e the mean square error of a channel
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from refdiff.op import Array
from refdiff.verify.bounded import Excess
from refdiff.verify.formats import FLOAT32, Profile
from refdiff.verify.metrics import Level, Metrics, size_of_error

GATES = (4.0, 16.0)  # up to the first: explained; to the second: loose
WIDER = 10.0  # for the maximum
LARGE = 64  # elements from which the gates are what they are
OVERFLOW_ROOM = 2.0**64  # how much larger than a result what it is computed from may be


class State(IntEnum):
    """In order of severity."""

    EXPLAINED = 0  # what honest rounding does
    LOOSE = 1  # more than that, as fast mathematics or a narrower format does
    UNEXPLAINED = 2  # no rounding of this profile is known to do it
    IMPOSSIBLE = 3  # no rounding of this profile can do it

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Noise:
    """What honest runs are off by."""

    level: Level  # the largest of the runs
    floor: Level  # of the exact values rounded to the storage format
    profile: Profile  # how the runs keep their numbers
    runs: tuple[str, ...]
    independent: float = float("inf")  # errors, at most: see above

    def joined(self, other: "Noise") -> "Noise":
        """That of the runs of both."""
        return replace(
            self,
            level=self.level.max(other.level),
            runs=self.runs + other.runs,
            independent=min(self.independent, other.independent),
        )

    @property
    def unit(self) -> Level:
        """What an error is measured in."""
        return self.level.max(self.floor)


def honest(
    runs: Sequence[Array],
    exact: Array,
    profile: Profile = FLOAT32,
    names: Sequence[str] = (),
) -> Noise:
    """The noise of `runs`, each an honest computation of `exact`. runs [*] each, exact [*]"""
    level, independent = Level(0.0, 0.0, 0.0), float("inf")
    for run in runs:
        level = level.max(size_of_error(exact, run))
        independent = min(independent, spread_over(exact, run))
    floor = size_of_error(exact, profile.storage.nearest(exact))
    labels = names or [f"run {i + 1}" for i in range(len(runs))]
    return Noise(level, floor, profile, tuple(labels), independent)


def spread_over(exact: Array, run: Array) -> float:
    """Over how many channels of samples the error is spread. exact, run [N,C,*] or [N,L,D]"""
    axes = {4: (2, 3), 3: (1,)}.get(exact.ndim)
    if axes is None:
        return float("inf")
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.square(run - exact).mean(axes, dtype=np.float64)
    total = float(e.sum())
    return total**2 / float(np.square(e).sum()) if 0 < total < np.inf else float("inf")


@dataclass(frozen=True)
class Verdict:
    """The state, and all that it follows from."""

    state: State
    rho: Level
    widened: float  # what the gates are multiplied by
    metrics: Metrics
    noise: Noise
    excess: Excess | None
    known: str | None = None  # a mistake that explains far more than rounding does


def judge(metrics: Metrics, noise: Noise, bound: Excess | None = None) -> Verdict:
    """Hold an error against honest noise and, where there is one, against a proven bound."""
    rho, widened = (
        metrics.level.over(noise.unit),
        widening(min(metrics.n, noise.independent), len(noise.runs)),
    )
    quantile = rho.quantile if metrics.n >= LARGE else 0.0  # of fewer it says nothing
    worst = max(rho.rms, quantile, rho.largest / WIDER) / widened
    state = State(int(np.searchsorted(GATES, worst)))
    if metrics.broken:
        inside = metrics.reference_peak * OVERFLOW_ROOM  # a bound knows better
        may_overflow = bound is not None or inside >= noise.profile.storage.largest
        state = State.UNEXPLAINED if may_overflow else State.IMPOSSIBLE
    if bound is not None and bound.count:
        state = State.IMPOSSIBLE
    return Verdict(state, rho, widened, metrics, noise, bound)


def widening(n: float, runs: int) -> float:
    """What the gates of n elements are multiplied by: 1 from 64 on."""

    def spread(n: float) -> float:
        return float(np.sqrt((1 + 1 / max(runs, 1)) / (2 * max(n, 1))))

    return float(np.exp(3 * (spread(min(n, LARGE)) - spread(LARGE))))


def explain(verdict: Verdict) -> str:
    """The derivation of the tolerance in plain lines, with its numbers."""
    v, m, noise = verdict, verdict.metrics, verdict.noise
    storage = noise.profile.storage
    lines = [
        f"{v.state}: the rms error {m.rms:.2e} is {v.rho.rms:.3g} times the {noise.unit.rms:.2e} "
        f"of honest rounding; {m.n} elements",
        f"noise: the largest of {len(noise.runs)} honest {noise.profile.name} runs "
        f"({', '.join(noise.runs)}): " + sizes(noise.level),
        f"floor: the exact values rounded to {storage.name}: " + sizes(noise.floor),
        "error: " + sizes(m.level),
        f"error / max(noise, floor): rms {v.rho.rms:.3g}, 99.9 % {v.rho.quantile:.3g}, "
        f"max {v.rho.largest:.3g}",
        gates(v),
    ]
    if m.broken:
        lines.append(
            f"{m.broken} elements are not finite where the exact ones are, first at {m.broken_at}; "
            f"the exact peak is {m.reference_peak:.3g}, {storage.name} ends at "
            f"{storage.largest:.3g}"
        )
    if v.known is not None:
        lines.append(
            f"{v.known} leaves far less than the rounding that could do it: see judging.py"
        )
    return "\n".join(lines + ([proof(v)] if v.excess else []))


def sizes(level: Level) -> str:
    return f"rms {level.rms:.2e}, 99.9 % {level.quantile:.2e}, max {level.largest:.2e}"


def gates(v: Verdict) -> str:
    low, high = (g * v.widened for g in GATES)
    why = f", widened by {v.widened:.3g} for so few independent ones" if v.widened > 1 else ""
    return (
        f"gates: up to {low:.3g} explained, up to {high:.3g} loose; for the maximum "
        f"{low * WIDER:.3g} and {high * WIDER:.3g}{why}"
    )


def proof(v: Verdict) -> str:
    e = v.excess
    assert e is not None
    where = f" at {e.at}" if e.at else ""
    return (
        f"bound of {v.noise.profile.name} (sums of up to {e.terms} terms): {e.count} of "
        f"{v.metrics.n} elements beyond it; the furthest is at {e.worst:.3g} of it{where}"
    )
