"""Which known mistake explains what a layer gave.

The piece of the model that made it is run again from the candidate's own values, once for each
mistake that could have been made there. A mistake explains the result if what is then left is no
more than honest rounding.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from refdiff.errors import RefdiffError
from refdiff.op import Array, Op, around
from refdiff.verify.mistakes import CATALOGUE, FAMILIES, Family, Mistake, made
from refdiff.verify.replay import Replay, Site
from refdiff.verify.shapes import fits
from refdiff.verify.walks import EXACT, HONEST, Walk

GATE = 4.0  # times honest rounding, up to which a result is explained
# A mistake is the better explanation of what hasty rounding could do if it leaves no more than
# CLOSE times careful rounding, and without it there is TELLING times that; FITTED for a family.
CLOSE, TELLING, FITTED = 1.5, 2.25, 3.0
PAIRED = 6  # mistakes that pairs are tried with: those that explain most of the error alone
# what a mistake may raise where it cannot be made
REFUSALS = (RefdiffError, ValueError, TypeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Explanation:
    """A mistake, where it was made, and how far off the result is without it and with it."""

    id: str
    title: str
    where: str
    rho_before: float
    rho_after: float
    value: float | None = None  # of a family's mistake

    @property
    def explains(self) -> bool:
        """Whether nothing is left but rounding."""
        return self.rho_after <= GATE


@dataclass(frozen=True)
class Scene:
    """A result that is not explained: how it came about, what was given, what rounding does."""

    replay: Replay
    site: Site
    name: str
    exact: Array
    given: Array
    noise: float  # root mean square of what honest rounding does to it
    walk: Walk = HONEST["float32"][0]

    def rho(self, y: Array, noise: float = 0.0) -> float:
        """How far what was given is from y, in units of honest rounding."""
        return rms(self.given - y) / max(float(self.noise), noise, 1e-300)

    def with_mistakes(
        self, *mistakes: Mistake, only: int | None = None, walk: Walk = EXACT
    ) -> Array | None:
        """What the layer gives with these mistakes made, or None where they cannot be made."""

        @contextmanager
        def within() -> Iterator[None]:
            with walk.within(), made(*mistakes, only=only):  # mistakes stand before rounding
                yield

        with suppress(*REFUSALS), np.errstate(all="ignore"):
            mistaken = replace(walk, within=within)
            y = self.replay.run(self.site, mistaken, (self.name,)).get(self.name)
            if y is not None and y.shape == self.given.shape and np.isfinite(y).all():
                return np.asarray(y, np.float64)
        return None

    def honest(self) -> Array:
        """What an honest run gives in the place."""
        return np.asarray(self.replay.run(self.site, self.walk, (self.name,))[self.name])

    def diagnose(self, most: int = 5) -> list[Explanation]:
        """Which mistakes explain it, the best first."""
        return diagnose(self, most)

    def known(self) -> Explanation | None:
        """A mistake that fits so well that rounding, which could do it, is the worse explanation.

        A mistake with a number to be fitted must fit better than one without.
        """
        places = calls_before(self)
        for explanation, _ in chain(single(self, places), with_number(self, places)):
            telling = FITTED if explanation.id in FAMILIES else TELLING
            if explanation.rho_after <= CLOSE and explanation.rho_before >= telling:
                return explanation
        return None

    def again(self, explanation: Explanation) -> bool:
        """Whether what was found elsewhere explains this, too."""
        if explanation.id.startswith("values/"):
            same = [fit for fit in fits(self.exact, self.given) if fit.title == explanation.title]
            return any(self.rho(fit.y) <= GATE for fit in same)
        mistakes = [named(id, explanation.value) for id in explanation.id.split(" + ")]
        y = self.with_mistakes(*mistakes)
        if y is None or self.rho(y) <= GATE:
            return y is not None
        rounded = self.with_mistakes(*mistakes, walk=self.walk)
        return rounded is not None and self.rho(y, rms(rounded - y)) <= GATE


def named(id: str, value: float | None) -> Mistake:
    """The mistake of that name, of a family with that number."""
    if id in CATALOGUE:
        return CATALOGUE[id]
    return FAMILIES[id].at(1.0 if value is None else value)


def ranked(
    where: str,
    exact: Array,
    given: Array,
    noise: float,
    tried: Iterable[tuple[str, str, Array]],
) -> list[Explanation]:
    """Explanations by what is left unexplained: of (id, title, what would then be right)."""
    unit = max(float(noise), 1e-300)
    before = rms(given - exact) / unit
    found = [Explanation(id, title, where, before, rms(given - y) / unit) for id, title, y in tried]
    return sorted((e for e in found if e.rho_after < before), key=_worth)


def rms(x: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0


def diagnose(scene: Scene, most: int = 5) -> list[Explanation]:
    """The mistakes that leave least unexplained, the best first.

    Single mistakes are tried first, then those with a number to be found, then one at a single
    call, then values out of shape, then pairs; each only where nothing before it explains all, and
    numbers also where something leaves more than careful rounding. They are tried near the result,
    two layers above it, which is where its way from the candidate's values begins.
    """
    scene = replace(scene, site=scene.replay.narrowed(scene.site, scene.name))
    places = calls_before(scene)
    found: list[tuple[Explanation, tuple[Mistake, ...]]] = []
    for search in (single, with_number, at_one_call, out_of_shape, in_pairs):
        least = min((explanation.rho_after for explanation, _ in found), default=np.inf)
        if least <= (CLOSE if search is with_number else GATE):
            break
        found += search(scene, places, found)
    best = sorted((e for e, _ in found), key=_worth)
    return best[:most]


Found = tuple[Explanation, tuple[Mistake, ...]]
Places = Mapping[str, list[str]]


def calls_before(scene: Scene) -> Places:
    """Op -> the layers that call it on the way to the result."""
    places: dict[str, list[str]] = {}

    def noting(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        places.setdefault(op.name, []).append(scene.replay.inside)
        return compute(*args, **options)

    with around(noting):
        scene.replay.run(scene.site, EXACT, (scene.name,))
    return places


def single(scene: Scene, places: Places, found: Iterable[Found] = ()) -> Iterator[Found]:
    """One mistake, wherever its op is called."""
    for mistake in CATALOGUE.values():
        if mistake.op in places:
            yield from _tried(scene, places, mistake)


def with_number(scene: Scene, places: Places, found: Iterable[Found] = ()) -> Iterator[Found]:
    """One mistake with the number that explains most, wherever its op is called."""
    for family in FAMILIES.values():
        if family.op in places and (mistake_ := fitted(scene, family)):
            yield from _tried(scene, places, mistake_)


def at_one_call(scene: Scene, places: Places, found: Iterable[Found] = ()) -> Iterator[Found]:
    """One mistake at one of several calls of its op."""
    for mistake in CATALOGUE.values():
        calls = places.get(mistake.op, [])
        if 1 < len(calls) <= 16:
            for number in range(len(calls)):
                yield from _tried(scene, places, mistake, only=number)


def out_of_shape(scene: Scene, places: Places, found: Iterable[Found] = ()) -> Iterator[Found]:
    """The right values, scaled, shifted or out of order."""
    before = scene.rho(scene.exact)
    for fit in fits(scene.exact, scene.given):
        after = scene.rho(fit.y)
        if after < before:
            yield Explanation(fit.id, fit.title, scene.name, before, after), ()


def in_pairs(scene: Scene, places: Places, found: Iterable[Found] = ()) -> Iterator[Found]:
    """Two mistakes at once, of which one explains much by itself."""
    singles = sorted((f for f in found if f[1]), key=lambda f: f[0].rho_after)
    for _, (first,) in singles[:PAIRED]:
        for second in CATALOGUE.values():
            if second.op in places and second.op != first.op:
                yield from _tried(scene, places, first, second)


def fitted(scene: Scene, family: Family) -> Mistake | None:
    """The family's mistake with the number that explains most."""
    from scipy.optimize import minimize_scalar  # which takes a while to import

    def left(x: float) -> float:
        y = scene.with_mistakes(family.at(float(np.exp(x))))
        return np.inf if y is None else scene.rho(y)

    grid = np.linspace(np.log(family.low), np.log(family.high), 25)
    values = [left(x) for x in grid]
    if not np.isfinite(min(values)):
        return None
    i = int(np.argmin(values))
    bounds = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    best = minimize_scalar(left, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return family.at(float(np.exp(best.x)))


def _tried(
    scene: Scene, places: Places, *mistakes: Mistake, only: int | None = None
) -> Iterator[Found]:
    y = scene.with_mistakes(*mistakes, only=only)
    if y is None or np.array_equal(y, scene.exact):
        return
    before, after = scene.rho(scene.exact), scene.rho(y)
    if after > GATE and after < before:  # rounding, too, may be larger with the mistake
        rounded = scene.with_mistakes(*mistakes, only=only, walk=scene.walk)
        after = after if rounded is None else scene.rho(y, rms(rounded - y))
    calls = places[mistakes[0].op]
    where = calls[only] if only is not None else calls[-1]
    title = " and ".join(m.title for m in mistakes)
    value = next((m.value for m in mistakes if m.value is not None), None)
    id = " + ".join(m.id for m in mistakes)
    yield Explanation(id, title, where or scene.name, before, after, value), mistakes


def _worth(explanation: Explanation) -> tuple[float, int]:
    """Best first; of those that explain all alike a named mistake comes before a fitted one."""
    kind = explanation.id in FAMILIES or explanation.id.startswith("values/")
    return max(round(explanation.rho_after, 1), 1.0), int(kind)
