"""Matching tensors whose names say nothing, by their values in any layout, and by their order.

Two tensors are partners when in some layout their values agree much better than with any other
tensor on either side, and too well for chance. Elements are compared at sampled places that a
layout maps exactly, so that every pair of equal size is looked at; what then looks right is
compared whole. Copies of one tensor are partners in order.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refdiff.op import Array
from refdiff.verify.distance import FLAT, relative_error, sample
from refdiff.verify.layouts import LIMIT, Layout, Shape, choose, fits
from refdiff.verify.sampled import Samples, sources, take

CLOSE = 0.01  # the largest error of partners: a residual layer may change its input by little
RIVAL = 20  # how much worse than its partner every other tensor must fit
CHANCE = 1e-12  # the probability of a coincidence that is accepted
FINEST = 1e-7  # an error below says no more: float32's own rounding

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Found:
    """Partners with the layout that their values prove, and what each other name may be."""

    pairs: dict[str, tuple[str, Layout]]
    unsure: dict[str, tuple[str, ...]]


def by_content(
    reference: Arrays,
    candidate: Arrays,
    shapes: tuple[Mapping[str, Shape], Mapping[str, Shape]],
) -> Found:
    """Partners among the names in `shapes`, by size: the reference's, the candidate's."""
    ours, theirs = (_by_size(sizes) for sizes in shapes)
    pairs: dict[str, tuple[str, Layout]] = {}
    unsure: dict[str, tuple[str, ...]] = {}
    for size in ours.keys() & theirs.keys():
        group = _Group.of(reference, candidate, ours[size], theirs[size], shapes)
        found = group.match()
        pairs |= found.pairs
        unsure |= found.unsure
    return Found(pairs, unsure)


def _by_size(shapes: Mapping[str, Shape]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = defaultdict(list)
    for name, shape in shapes.items():
        if size := math.prod(shape):
            groups[size].append(name)
    return groups


@dataclass(frozen=True)
class _Group:
    """Tensors of one size; errors[i, j] is the least, over the layouts, of a sampled comparison."""

    reference: Arrays
    candidate: Arrays
    ours: Sequence[str]
    theirs: Sequence[str]
    errors: Array
    distinct: Sequence[int]  # values in the sample of each of ours
    layouts: int  # the most that any two shapes here allow

    @classmethod
    def of(
        cls,
        reference: Arrays,
        candidate: Arrays,
        ours: Sequence[str],
        theirs: Sequence[str],
        shapes: tuple[Mapping[str, Shape], Mapping[str, Shape]],
    ) -> "_Group":
        plain = sample(math.prod(shapes[0][ours[0]]))
        by_shape: dict[Shape, list[int]] = defaultdict(list)
        for i, name in enumerate(ours):
            by_shape[shapes[0][name]].append(i)
        rows = np.stack([take(reference[name], plain) for name in ours])
        sides = {shape: Samples.of(rows[group]) for shape, group in by_shape.items()}
        errors = np.full((len(ours), len(theirs)), np.inf)
        most = 1
        for j, name in enumerate(theirs):
            array = candidate[name]
            for shape, group in by_shape.items():
                places = sources(shape, array.shape)
                if len(places):
                    most = max(most, len(places))
                    errors[group, j] = sides[shape].errors(take(array, places))
        distinct = [_distinct(row) for row in rows]
        return cls(reference, candidate, ours, theirs, errors, distinct, most)

    def match(self) -> Found:
        """The pairs of this group that are beyond doubt, and the doubts."""
        pairs: dict[str, tuple[str, Layout]] = {}
        unsure: dict[str, tuple[str, ...]] = {}
        taken: set[str] = set()
        for i, name in enumerate(self.ours):
            j = int(self.errors[i].argmin())
            if name in pairs or not self.errors[i, j] < LIMIT:
                continue
            rows, columns = self._near(self.errors[:, j]), self._near(self.errors[i])
            sure = self.errors[i, j] < CLOSE and i in rows
            found = self._prove(rows, columns) if sure else {}
            if found.keys() & pairs.keys() or {o for o, _ in found.values()} & taken:
                found = {}
            pairs |= found
            taken |= {other for other, _ in found.values()}
            if not found:
                unsure[name] = tuple(self.theirs[c] for c in columns)
        return Found(pairs, {n: names for n, names in unsure.items() if n not in pairs})

    def _near(self, errors: Array) -> list[int]:
        return [int(i) for i in np.flatnonzero(errors <= RIVAL * max(errors.min(), FINEST))]

    def _prove(self, rows: list[int], columns: list[int]) -> dict[str, tuple[str, Layout]]:
        """The tensors at rows with those at columns in order, if all are copies of one."""
        ours, theirs = [self.ours[i] for i in rows], [self.theirs[j] for j in columns]
        if len(rows) != len(columns):
            return {}
        if not copies([self.reference[n] for n in ours]) or not copies(
            [self.candidate[n] for n in theirs]
        ):
            return {}
        pairs = {}
        for i, mine, other in zip(rows, ours, theirs, strict=True):
            x, y = self.reference[mine], self.candidate[other]
            layout = choose(x, y)
            if layout is None or self._chance(i, relative_error(x, layout.apply(y))) > CHANCE:
                return {}
            pairs[mine] = other, layout
        return pairs

    def _chance(self, row: int, error: float) -> float:
        """A bound for the probability that some pair here agrees so well by accident.

        Each value of the tensor that differs from the others must fall this close again.
        """
        tries = self.errors.size * self.layouts
        return tries * max(error, FINEST) ** (self.distinct[row] - 1) if error < 1 else 1.0


def _distinct(values: Array) -> int:
    """How many values there are, where those that rounding may have split count once."""
    size = float(np.abs(values).max())
    return len(np.unique(np.round(values / (FLAT * size)))) if size else 1


def copies(arrays: Sequence[Array]) -> bool:
    """Whether all arrays hold the same values, in some layout."""
    first, *rest = arrays
    return all(
        any(np.array_equal(first, x.apply(y), equal_nan=True) for x in fits(first.shape, y.shape))
        for y in rest
    )
