"""The lines of a report: what was compared, in the order of computation, and what was not."""

from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase

import numpy as np

from refdiff.op import Array
from refdiff.verify.along import Walked
from refdiff.verify.budget import Budget
from refdiff.verify.formats import Profile
from refdiff.verify.judging import Finding
from refdiff.verify.matching import Matching, shapes_of
from refdiff.verify.metrics import measure
from refdiff.verify.report import Compared, NotCompared
from refdiff.verify.verdict import honest, judge
from refdiff.verify.views import Arranged

Named = Mapping[str, Array]


def tensors(
    reference: Named,
    values: Arranged,
    findings: Mapping[str, Finding],
    profile: Profile,
    budget: Budget,
) -> Iterator[Compared]:
    """Those of the reference in its order, each behind what only the model knows."""
    for name in in_order(reference, values, findings):
        pair, finding = values.pairs[name], findings.get(name)
        local = None if finding is None else finding.verdict
        total = judged = None
        if name in reference:
            total = measure(reference[name], values[name])
            if local is None:
                noise = budget.noise(name, profile) or honest((), reference[name], profile)
                judged = judge(total, noise)
        yield Compared(
            name=name,
            candidate=pair if isinstance(pair, str) else pair.candidate,
            how="exact" if isinstance(pair, str) else pair.how,
            layout="" if isinstance(pair, str) or pair.layout.plain else str(pair.layout),
            local=local,
            total=total,
            judged=local or judged,
        )


def in_order(reference: Named, values: Named, findings: Mapping[str, Finding]) -> list[str]:
    """Those of the reference in its order, each behind what only the model knows before it."""
    place = {name: i for i, name in enumerate(reference)}
    keys = {name: (place[name], 1) for name in values if name in place}
    following = len(place)
    for name in reversed([*findings]):
        following = place.get(name, following)
        keys.setdefault(name, (following, 0))
    known = [n for n in findings if n not in place] + [n for n in reference if n in values]
    return sorted(known, key=lambda name: keys[name])


def not_compared(
    matching: Matching, reference: Named, values: Named, walked: Walked, waive: Collection[str]
) -> Iterator[NotCompared]:
    def one(name: str, reason: str, detail: str) -> NotCompared:
        return NotCompared(name, reason, detail, any(fnmatchcase(name, g) for g in waive))

    for name in matching.missing:
        if not _same_as(reference, name, [n for n in values if n in reference]):
            yield one(name, "missing", "the candidate has no such tensor")
    for name, contenders in matching.ambiguous.items():
        yield one(name, "ambiguous", f"may be {', '.join(contenders[:4])}")
    misfits = {**matching.misshapen, **walked.misfits}
    for name, (expected, found) in misfits.items():
        yield one(name, "misshapen", f"is {list(found)}, expected {list(expected)}")
    unknown = [n for n in matching.extra if n not in walked.findings and n not in misfits]
    told = [name for name in values if name not in unknown]
    for name in unknown:
        if not _same_as(values, name, told):
            yield one(name, "unknown", "neither the reference nor the model has such a tensor")


def _same_as(arrays: Named, name: str, others: Collection[str]) -> bool:
    """Whether it is bit for bit one of the others: a container's last layer, a dropout's input."""
    shapes = shapes_of(arrays)
    same = [n for n in others if shapes[n] == shapes[name]]
    return any(np.array_equal(arrays[n], arrays[name]) for n in same)
