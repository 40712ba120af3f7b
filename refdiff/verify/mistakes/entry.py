"""A known mistake: an op done wrong. Adding one is one small function.

    @mistake("silu", "relu", "relu instead of silu")
    def _(silu, x):
        return np.maximum(x, 0)

The function is called in the op's place, with the op itself before its arguments.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from refdiff.op import Array, Op, around

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Mistake:
    """What is done instead of an op; `id` is "op/kind"."""

    id: str
    title: str
    change: Callable[..., Array]
    value: float | None = None  # of a family

    @property
    def op(self) -> str:
        """The op that is done wrong."""
        return self.id.split("/")[0]


@dataclass(frozen=True)
class Family:
    """A mistake with a number that is to be found, between two bounds, on a logarithmic scale."""

    id: str
    title: str  # with {value}
    change: Callable[..., Array]
    low: float
    high: float

    @property
    def op(self) -> str:
        """The op that is done wrong."""
        return self.id.split("/")[0]

    def at(self, value: float) -> Mistake:
        """The mistake with that number."""
        title = self.title.format(value=value)
        return Mistake(self.id, title, partial(self.change, value=value), value)


CATALOGUE: dict[str, Mistake] = {}
FAMILIES: dict[str, Family] = {}


def mistake(op: str, kind: str, title: str) -> Callable[[F], F]:
    """Enter a function of (op, *arguments) in the catalogue, as what is done in the op's place."""

    def enter(change: F) -> F:
        made = Mistake(f"{op}/{kind}", title, change)
        assert made.id not in CATALOGUE
        CATALOGUE[made.id] = made
        return change

    return enter


def family(op: str, kind: str, title: str, low: float, high: float) -> Callable[[F], F]:
    """As `mistake`, of a function that also takes `value`, from low to high."""

    def enter(change: F) -> F:
        made = Family(f"{op}/{kind}", title, change, low, high)
        FAMILIES[made.id] = made
        return change

    return enter


@contextmanager
def made(*mistakes: Mistake, only: int | None = None) -> Iterator[None]:
    """Make mistakes in every call inside, or in one: the op's call number `only`, from 0."""
    calls = dict.fromkeys((m.op for m in mistakes), 0)

    def wrapper(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        if op.name not in calls:
            return compute(*args, **options)
        number, calls[op.name] = calls[op.name], calls[op.name] + 1
        if only is not None and number != only:
            return compute(*args, **options)
        call = compute
        for m in mistakes:
            if m.op == op.name:
                call = partial(m.change, call)
        return call(*args, **options)

    with around(wrapper):
        yield
