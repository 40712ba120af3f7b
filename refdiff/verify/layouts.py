"""The ways in which two programs lay out the same tensor, and the one that the values prove.

A layout brings the candidate's array to the reference's shape: split axes into parts, order the
parts, merge them again. Channels last, ggml's reversed axes, transposed matrices, missing axes of
size 1, tokens [N,HW,C] for pictures [N,C,H,W], heads [N,h,L,d] inside the batch or the width are
all of this one form. Beside it, the two halves of a guided batch may be swapped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np

from refdiff.op import Array
from refdiff.verify.distance import relative_error, sample

MARGIN = 100  # how much better than every other layout the right one must be
LIMIT = 0.1  # the largest relative error that still speaks for a layout
SMALL = 1e-3  # an error of the plain layout that ends the search
MOST_AXES = 5  # beyond, there are too many orders to try

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """candidate.reshape(split).transpose(order), its halves maybe swapped, .reshape(shape)."""

    candidate: Shape
    split: Shape
    order: tuple[int, ...]
    shape: Shape
    swapped: bool = False

    @property
    def parts(self) -> Shape:
        """The sizes of the parts in the reference's order."""
        return tuple(self.split[i] for i in self.order)

    @property
    def moves(self) -> bool:
        """Whether values change their places in memory, beyond the shape."""
        return self.swapped or self.order != tuple(range(len(self.order)))

    @property
    def plain(self) -> bool:
        """Whether the candidate's array is the reference's as it stands."""
        return self.candidate == self.shape and not self.moves

    def apply(self, x: Array) -> Array:
        """The candidate's array as the reference has it: x [candidate] -> [shape]"""
        y = x.reshape(self.split).transpose(self.order)
        return (_swap_halves(y) if self.swapped else y).reshape(self.shape)

    def invert(self, y: Array) -> Array:
        """The reference's array as the candidate has it: y [shape] -> [candidate]"""
        y = y.reshape(self.parts)
        y = _swap_halves(y) if self.swapped else y
        return y.transpose(np.argsort(self.order)).reshape(self.candidate)

    def source(self, places: Array) -> Array:
        """Where the elements at flat places of the reference lie in the candidate. [n] -> [n]"""
        if not self.moves:
            return places
        index = list(np.unravel_index(places, self.parts))
        if self.swapped:
            index[0] = (index[0] + self.parts[0] // 2) % self.parts[0]
        return np.ravel_multi_index([index[i] for i in np.argsort(self.order)], self.split)

    def __str__(self) -> str:
        letters = "abcdefgh"[: len(self.order)]
        theirs = "".join(letters[i] for i in np.argsort(self.order))
        text = "as it is"
        if not self.plain:
            text = f"{_pattern(self.candidate, theirs, self.split)} -> "
            text += _pattern(self.shape, letters, self.parts)
        return f"{text}, halves swapped" if self.swapped else text


def _swap_halves(x: Array) -> Array:
    return np.roll(x, x.shape[0] // 2, axis=0)


def _pattern(shape: Shape, letters: str, sizes: Shape) -> str:
    """A shape in the letters of the parts that it is made of: a (b c) 1 d"""
    words, at = [], 0
    for size in shape:
        begin = at
        while math.prod(sizes[begin:at]) < size:
            at += 1
        group = " ".join(letters[begin:at]) or "1"
        words.append(group if at - begin < 2 else f"({group})")
    return " ".join(words)


@lru_cache(maxsize=4096)
def fits(reference: Shape, candidate: Shape) -> tuple[Layout, ...]:
    """All layouts between these two shapes, the plain one first; none where nothing fits."""
    if math.prod(reference) != math.prod(candidate):
        return ()
    if 0 in reference or max(len(real(reference)), len(real(candidate))) > MOST_AXES:
        plain = Layout(candidate, candidate, tuple(range(len(candidate))), reference)
        return (plain,) if candidate == reference else ()
    ways = dict.fromkeys(_ways(real(reference), real(candidate)))
    found = [Layout(candidate, split, order, reference) for split, order in ways]
    if len(reference) > 1 and reference[0] % 2 == 0:  # a batch of which guidance has two halves
        even = [layout for layout in found if layout.parts[0] % 2 == 0]
        found += [Layout(candidate, x.split, x.order, reference, swapped=True) for x in even]
    return tuple(sorted(found, key=lambda layout: (layout.swapped, layout.moves)))


def real(shape: Shape) -> Shape:
    """The shape without its axes of size 1."""
    return tuple(size for size in shape if size != 1)


def _ways(r: Shape, c: Shape) -> Iterator[tuple[Shape, tuple[int, ...]]]:
    """(split, order): either has the other's axes as its parts, or they share finer ones."""
    for order in permutations(range(len(c))):
        if _merges([c[i] for i in order], r):
            yield c, order
    for there in permutations(range(len(r))):
        split = tuple(r[i] for i in there)
        if _merges(split, c):
            yield split, tuple(int(i) for i in np.argsort(there))
    # Heads in the batch [N*h,L,d] on one side, in the width [N,L,h*d] on the other.
    if len(r) == len(c) == 3 and r[1] == c[1]:
        n, h, d = min(r[0], c[0]), max(r[0], c[0]) // min(r[0], c[0]), min(r[2], c[2])
        if h > 1 and (n * h, d) == (r[0], r[2]) and (n, h * d) == (c[0], c[2]):
            yield (n, r[1], h, d), (0, 2, 1, 3)
        if h > 1 and (n * h, d) == (c[0], c[2]) and (n, h * d) == (r[0], r[2]):
            yield (n, h, r[1], d), (0, 2, 1, 3)


def _merges(parts: Sequence[int], shape: Shape) -> bool:
    """Whether neighbours among the parts, all above 1, multiply to the shape."""
    rest = list(parts)
    for size in shape:
        product = 1
        while rest and product < size:
            product *= rest.pop(0)
        if product != size:
            return False
    return not rest


def choose(reference: Array, candidate: Array) -> Layout | None:
    """The layout that the values prove, or None where they prove none: nothing is guessed.

    The plain one stands while its relative error is below LIMIT and no other is MARGIN times
    better; another needs an error below LIMIT, and MARGIN times less than every layout that
    gives a different array. Errors are those of `relative_error`.
    """
    return pick(reference, candidate, fits(reference.shape, candidate.shape))


def pick(reference: Array, candidate: Array, layouts: Sequence[Layout]) -> Layout | None:
    """`choose` among given layouts."""
    if not layouts:
        return None
    if layouts[0].plain and relative_error(reference, candidate) < SMALL:
        return layouts[0]
    places = sample(reference.size)
    ours, flat = reference.reshape(-1)[places], candidate.reshape(-1)
    rough = [relative_error(ours, flat[layout.source(places)]) for layout in layouts]
    near = [x for x, error in zip(layouts, rough, strict=True) if error <= 10 * MARGIN * min(rough)]
    errors = {x: relative_error(reference, x.apply(candidate)) for x in near}
    best = min(near, key=errors.__getitem__)
    if layouts[0] in errors and layouts[0].plain and errors[layouts[0]] < LIMIT:
        best = layouts[0] if errors[layouts[0]] <= MARGIN * errors[best] else best
        return best
    found = best.apply(candidate)
    rivals = [x for x in near if errors[x] < MARGIN * errors[best] and x != best]
    same = all(np.array_equal(x.apply(candidate), found, equal_nan=True) for x in rivals)
    return best if errors[best] < LIMIT and same else None
