"""A model run along somebody else's values, so that each layer's own error stands alone.

The replay rides in `Params` as a trace does. Wherever the candidate says what a layer gave, the
model goes on with that. So what a layer's result is off by is what went wrong since the values
before it: the local error, with nothing handed down.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from refdiff.op import Array
from refdiff.trace import Passenger
from refdiff.verify.layouts import Shape
from refdiff.verify.matching import shapes_of
from refdiff.verify.walks import EXACT, EXACT_BY_KERNELS, Walk

R = TypeVar("R")
LARGE = 1 << 22  # bytes of values from which definitions, being slow, are not run


@dataclass(frozen=True)
class Site:
    """A layer's call that can be made again, with the names and scopes that it began with."""

    name: str
    path: str
    call: partial[Any]
    counts: Mapping[str, int]
    scope: tuple[str, ...]


@dataclass
class _Run:
    """A site being run: for whose sake, what its layers gave, how it ended."""

    walk: Walk
    targets: Collection[str] | None
    own: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    counts: dict[str, int] = field(default_factory=dict)
    stack: list[Site] = field(default_factory=list)  # the layers being computed, outermost first


class _Done(Exception):  # noqa: N818 - it ends a run, and is no error
    """All targets are computed."""


Examine = Callable[["Replay", Site, Mapping[str, Array]], None]


class Replay(Passenger):
    """Hands on the candidate's values in place of the model's own.

    values: the candidate's, by the reference's names and in its layout.
    examine: called with each site and what is exact there, name by name, in order of computation.
    tapped: called with what is right and what is given outside of all layers, by name.
    budget: bytes of a site's values in float64; a layer with more is examined piece by piece.
    What is exact is computed by definitions or, of large sites, by kernels in float64.
    """

    def __init__(
        self,
        values: Mapping[str, Array],
        examine: Examine,
        budget: int = 1 << 27,
        tapped: Callable[[str, Array, Array], None] = lambda name, exact, given: None,
    ) -> None:
        super().__init__()
        self.tapped = tapped
        self.values, self.examine, self.budget = values, examine, budget
        self.misfits: dict[str, tuple[Shape, Shape]] = {}  # the shapes expected and found
        self._run: _Run | None = None
        self._taps: list[str] | None = None  # in a layer that is examined piece by piece
        self._bytes: Counter[str] = Counter()  # of the values at and below each path
        self._inner: set[str] = set()  # paths with values below them
        self._shapes = shapes_of(values)
        for name, shape in self._shapes.items():
            paths = _paths(name)
            self._inner.update(paths[:-1])
            for path in paths:
                self._bytes[path] += 8 * math.prod(shape)

    def layer(self, path: str, call: Callable[[], R]) -> R:
        """The layer's result, examined, with the candidate's in its place where there is one."""
        name = self.next_name(path)
        if self._run is None:
            whole = cast("partial[Any]", call)
            return cast(R, self._visit(Site(name, path, whole, dict(self._seen), self._scope)))
        if self._is_handed_on(name):
            return cast(R, self._given(self.counted(path)))
        return self._entered(self._run, path, call)

    def _entered(self, run: _Run, path: str, call: Callable[[], R]) -> R:
        whole = cast("partial[Any]", call)
        run.stack.append(Site(self.next_name(path), path, whole, dict(self._seen), self._scope))
        y = super().layer(path, call)
        run.stack.pop()
        return y

    @property
    def inside(self) -> str:
        """The layer that is being computed."""
        return self._run.stack[-1].name if self._run and self._run.stack else ""

    def seen(self, name: str, value: Array) -> Array:
        """The candidate's value; what was computed is kept."""
        if not self._fits(name, value):
            return value
        if self._run is None:
            if self._taps is None:
                self.tapped(name, value, np.asarray(self.values[name]))
            else:
                self._taps.append(name)
        elif self._run.targets is None or name in self._run.targets:
            self._run.own[name] = value
            if self._run.targets is not None and len(self._run.own) == len(self._run.targets):
                raise _Done
        return self._given(name)

    def run(self, site: Site, walk: Walk, targets: Collection[str] | None = None) -> dict[str, Any]:
        """What the site's layers give, computed that way from the candidate's values before them.

        targets: the names that matter, where not all do; then no other layer is run whose result
        the candidate tells and of whose insides it tells nothing.
        """
        return self._made(site, walk, targets).own

    def bytes_of(self, site: Site) -> int:
        """What the candidate's values of a site take in float64."""
        return self._bytes[_paths(site.name)[-1]]

    def is_large(self, site: Site) -> bool:
        """Whether definitions would take long."""
        return self.bytes_of(site) > LARGE

    def narrowed(self, site: Site, name: str, levels: int = 2) -> Site:
        """The layer so many levels above the one that gives `name`, as a site of its own."""
        stack = self._made(site, EXACT, (name,)).stack
        above = [inner for inner in stack if _paths(inner.name)[-1] != _paths(name)[-1]]
        return above[-levels] if len(above) >= levels else site

    def _made(self, site: Site, walk: Walk, targets: Collection[str] | None = None) -> _Run:
        outer = self._run, self._seen, self._scope
        run = _Run(walk, targets, counts=dict(site.counts))
        self._run, self._seen, self._scope = run, run.counts, site.scope
        try:
            with walk.within(), suppress(_Done), np.errstate(all="ignore"):
                run.result = self._entered(run, site.path, walk.of(site.call))
            return run
        finally:
            self._run, self._seen, self._scope = outer

    def _visit(self, site: Site) -> Any:
        exact = EXACT_BY_KERNELS if self.is_large(site) else EXACT
        if self.bytes_of(site) <= self.budget:
            run = self._made(site, exact)
            self.examine(self, site, run.own)
            self._seen = run.counts
            return run.result
        outer, self._taps = self._taps, []
        y = super().layer(site.path, site.call)  # its inner layers are visited
        if self._taps:
            self.examine(self, site, self.run(site, exact, self._taps))
        self._taps = outer
        return y

    def _fits(self, name: str, value: Array) -> bool:
        if name not in self.values or name in self.misfits:
            return False
        if value.shape != self._shapes[name]:
            if self._run is None or self._run.targets is None:  # else by a mistake on trial
                self.misfits[name] = value.shape, self._shapes[name]
            return False
        return True

    def _is_handed_on(self, name: str) -> bool:
        run = self._run
        return (
            run is not None
            and run.targets is not None
            and name in self.values
            and name not in self.misfits
            and name not in run.targets
            and _paths(name)[-1] not in self._inner
        )

    def _given(self, name: str) -> Any:
        walk = EXACT if self._run is None else self._run.walk
        return walk.lift(np.asarray(self.values[name]))


def _paths(name: str) -> list[str]:
    """ "a.b@2" -> ["", "a", "a.b"]"""
    parts = name.split("@")[0].split(".") if name else []
    return [".".join(parts[:end]) for end in range(len(parts) + 1)]
