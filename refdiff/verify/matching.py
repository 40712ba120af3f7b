"""Which tensor of a candidate is which of the reference's, and how it is laid out.

In this order: the user's table, exact names, other programs' spellings, and last the values
themselves. A name that stays without a partner is listed, never passed over.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from refdiff.errors import ConfigError
from refdiff.files import LARGEST_INDEX, read_json
from refdiff.op import Array
from refdiff.strict_json import show
from refdiff.verify.aliases import pair_aliases
from refdiff.verify.content import by_content
from refdiff.verify.fused import split_fused
from refdiff.verify.layouts import Layout, Shape, choose, fits
from refdiff.verify.order import by_order

How = Literal["exact", "alias", "map", "content"]
Arrays = Mapping[str, Array]
QKV = ("to_q", "to_k", "to_v")


@dataclass(frozen=True)
class Pair:
    """Two names of one tensor, how they were found to be that, and the candidate's layout."""

    reference: str
    candidate: str
    how: How
    layout: Layout
    part: int | None = None  # which of the tensors that the candidate's holds fused

    def arrange(self, x: Array) -> Array:
        """The candidate's array in the reference's layout."""
        y = self.layout.apply(x)
        return y if self.part is None else y[self.part]


@dataclass(frozen=True)
class Matching:
    """Every name of both sides, once: paired, or with the reason why not.

    ambiguous: name -> the candidates that it may be; misshapen: name -> (expected, found) shape.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    ambiguous: Mapping[str, tuple[str, ...]]
    misshapen: Mapping[str, tuple[Shape, Shape]]

    def table(self) -> dict[str, str]:
        """Reference name -> candidate name: to be kept as JSON and given to `match` again."""
        return {pair.reference: pair.candidate for pair in self.pairs}


def read_table(path: str | os.PathLike[str]) -> dict[str, str]:
    """A user's table from a JSON file, reference name -> candidate name. Raises ConfigError."""
    table = {}
    for name, other in read_json(path, ConfigError, LARGEST_INDEX).items():
        if not isinstance(other, str):
            raise ConfigError(
                f"{path} maps {show(name)} to {show(other)}, and the candidate's name is expected."
            )
        table[name] = other
    return table


def match(
    reference: Arrays, candidate: Arrays, *, table: Mapping[str, str] | None = None
) -> Matching:
    """Find each reference tensor's partner in the candidate, reading values as they are needed.

    table: reference name -> candidate name, the user's word, which goes before everything.
    Raises ConfigError where it names a tensor that is not there.
    """
    ours, theirs = shapes_of(reference), shapes_of(candidate)
    named = _by_name(ours, theirs, table or {})
    pairs, ambiguous, misshapen = _lay_out(reference, candidate, ours, theirs, named)
    taken = {other for other, _ in named.values()}
    free = (
        {name: shape for name, shape in ours.items() if name not in named},
        {name: shape for name, shape in theirs.items() if name not in taken},
    )
    known = {name: pair.candidate for name, pair in pairs.items() if pair.part is None}
    found = by_order(reference, candidate, by_content(reference, candidate, free), known)
    paired, unsure = dict(found.pairs), dict(found.unsure)
    first = _first_of_copies(reference, ours, unsure)
    once = {name: ours[name] for name in first.values()}
    if len(once) < len(unsure):  # the candidate may tell once what the reference tells twice
        known |= {name: other for name, (other, _) in paired.items()}
        rest = {n: s for n, s in free[1].items() if n not in known.values()}
        found = by_order(
            reference, candidate, by_content(reference, candidate, (once, rest)), known
        )
        paired |= found.pairs
        unsure = {name: c for name, c in unsure.items() if first[name] not in found.pairs}
    for name, (other, layout) in paired.items():
        pairs[name] = Pair(name, other, "content", layout)
    taken |= {other for other, _ in paired.values()}
    for name, contenders in unsure.items():
        if left := tuple(other for other in contenders if other not in taken):
            ambiguous[name] = left
    pairs |= _by_fusion(
        reference,
        candidate,
        {n: s for n, s in free[0].items() if n not in pairs and n not in ambiguous},
        {n: s for n, s in free[1].items() if n not in taken},
    )
    settled = {*pairs, *ambiguous, *misshapen}
    used = (
        taken | {p.candidate for p in pairs.values()} | {c for v in ambiguous.values() for c in v}
    )
    return Matching(
        tuple(pairs[name] for name in ours if name in pairs),
        tuple(name for name in ours if name not in settled),
        tuple(name for name in theirs if name not in used),
        ambiguous,
        misshapen,
    )


def _first_of_copies(
    arrays: Arrays, shapes: Mapping[str, Shape], names: Iterable[str]
) -> dict[str, str]:
    """Name -> the first of the names whose array is bit for bit the same."""
    first: dict[str, str] = {}
    for name in names:
        seen = [n for n in first if first[n] == n and shapes[n] == shapes[name]]
        same = (n for n in seen if np.array_equal(arrays[n], arrays[name]))
        first[name] = next(same, name)
    return first


def shapes_of(arrays: Arrays) -> dict[str, Shape]:
    """Every shape by name, from the headers where the mapping knows them (a Dump does)."""
    known = getattr(arrays, "shapes", None)
    return dict(known) if known is not None else {n: a.shape for n, a in arrays.items()}


def _by_name(
    ours: Mapping[str, Shape], theirs: Mapping[str, Shape], table: Mapping[str, str]
) -> dict[str, tuple[str, How]]:
    for name, other in table.items():
        if name not in ours or other not in theirs:
            side, absent = ("candidate", other) if name in ours else ("reference", name)
            raise ConfigError(
                f"the table pairs {show(name)} with {show(other)}, and the {side} has no tensor "
                f"{show(absent)}; correct or remove the line."
            )
    named: dict[str, tuple[str, How]] = {name: (other, "map") for name, other in table.items()}
    taken = set(table.values())
    named |= {n: (n, "exact") for n in ours if n in theirs and n not in named and n not in taken}
    taken = {other for other, _ in named.values()}
    rest = pair_aliases([n for n in ours if n not in named], [n for n in theirs if n not in taken])
    return named | {name: (other, "alias") for name, other in rest.items()}


def _lay_out(
    reference: Arrays,
    candidate: Arrays,
    ours: Mapping[str, Shape],
    theirs: Mapping[str, Shape],
    named: Mapping[str, tuple[str, How]],
) -> tuple[dict[str, Pair], dict[str, tuple[str, ...]], dict[str, tuple[Shape, Shape]]]:
    """Pairs of known names with their layouts; what no layout can bring together, and doubts.

    Where the values prove none (the tensor is wrong), the layout is the one that most proven
    tensors of these numbers of axes have, or the plain one, or the only one that fits.
    """
    pairs: dict[str, Pair] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    misshapen: dict[str, tuple[Shape, Shape]] = {}
    open_pairs = []
    for name, (other, how) in named.items():
        layouts = fits(ours[name], theirs[other])
        if not layouts:
            misshapen[name] = ours[name], theirs[other]
        elif layout := choose(reference[name], candidate[other]):
            pairs[name] = Pair(name, other, how, layout)
        else:
            open_pairs.append((Pair(name, other, how, layouts[0]), layouts))
    usual = Counter(_kind(pair.layout) for pair in pairs.values()).most_common()
    for pair, layouts in open_pairs:
        kinds = {_kind(layout): layout for layout in layouts}
        layout = next((kinds[kind] for kind, _ in usual if kind in kinds), None)
        if layout or layouts[0].plain or len(layouts) == 1:
            pairs[pair.reference] = replace(pair, layout=layout or layouts[0])
        else:
            ambiguous[pair.reference] = (pair.candidate,)
    return pairs, ambiguous, misshapen


def _kind(layout: Layout) -> tuple[object, ...]:
    return len(layout.shape), len(layout.candidate), layout.order, layout.swapped


def _by_fusion(
    reference: Arrays, candidate: Arrays, ours: Mapping[str, Shape], theirs: Mapping[str, Shape]
) -> dict[str, Pair]:
    """Queries, keys and values that the candidate holds as one tensor."""
    pairs: dict[str, Pair] = {}
    for first in [name for name in ours if QKV[0] in name]:
        names = [first.replace(QKV[0], part) for part in QKV]
        if not all(name in ours for name in names):
            continue
        size = math.prod(ours[first]) * len(names)
        arrays = [reference[name] for name in names]
        taken = {pair.candidate for pair in pairs.values()}
        whole = [n for n, s in theirs.items() if math.prod(s) == size and n not in taken]
        found = [(n, x) for n in whole if (x := split_fused(arrays, candidate[n]))]
        if len(found) == 1:
            other, layout = found[0]
            pairs |= {n: Pair(n, other, "content", layout, i) for i, n in enumerate(names)}
    return pairs
