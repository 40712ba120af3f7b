"""Compare a dump with the reference: right or wrong, where, why.

With the model at hand every layer is judged by its own error (see `replay`), and the first one that
honest rounding does not explain is where the candidate goes wrong. Without it the errors are those
that were handed down, too, and are held against what the reference's page says of honest runs.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from refdiff.loading import load
from refdiff.op import Array
from refdiff.verify.along import Walked, walk
from refdiff.verify.budget import Budget
from refdiff.verify.dumps import open_dump
from refdiff.verify.evidence import evidence
from refdiff.verify.formats import PROFILES, Profile
from refdiff.verify.judging import Finding
from refdiff.verify.listing import not_compared, tensors
from refdiff.verify.matching import Pair, match
from refdiff.verify.metrics import measure
from refdiff.verify.report import Compared, Diagnosed, Report
from refdiff.verify.verdict import GATES
from refdiff.verify.views import Arranged, Subset, storage_of
from refdiff.verify.weights import with_weights

Named = Mapping[str, Array]
Path = str | os.PathLike[str]
# a reference's own, asked of nobody
GIVEN = ("inputs.*", "plan.*", "noise", "steps.*.noise", "output.*")
MOST_DIAGNOSED = 6  # different mistakes


def compare(
    reference: Path | Named,
    candidate: Path | Named,
    model: Any = None,
    *,
    table: Mapping[str, str] | None = None,
    waive: Collection[str] = (),
    precision: str | None = None,
    weights: Path | Named | None = None,
    again: Path | Named | None = None,
    diagnosing: bool = True,
    told: Callable[[str], None] = lambda line: None,
) -> Report:
    """Judge every tensor of a candidate's dump.

    reference: what `refdiff trace` wrote, or a mapping; candidate: a dump in any format, or a
    mapping. model: a path or what `refdiff.load` gave. table: reference name -> candidate name.
    waive: globs of names that need not be compared. precision: of the candidate; else it is read
    from its bits. weights: the candidate's own, to be compared first and then computed with. again:
    a dump of the same run made once more. told: is told what is being done.
    Raises RefdiffError for what cannot be read or run.
    """
    ours, theirs, loaded = opened(reference), opened(candidate), model_of(model)
    given = [n for n in ours if n not in theirs and any(fnmatchcase(n, g) for g in GIVEN)]
    asked = Subset(ours, [n for n in ours if n not in given])
    told(f"matching {len(asked)} names")
    matching = match(asked, theirs, table=table)
    pairs: dict[str, Pair | str] = {pair.reference: pair for pair in matching.pairs}
    known = Arranged(theirs, pairs)
    values = Arranged(theirs, {**{name: name for name in matching.extra}, **pairs})
    storage = precision or storage_of(known)
    profile, walked = PROFILES[storage], Walked()
    wrong: list[str] = []
    notes: list[str] = []
    if loaded is not None and weights is not None:
        told("comparing the weights")
        loaded, wrong, notes = with_weights(loaded, opened(weights))
    if loaded is not None:  # which may know layers that the reference leaves out
        profile, walked = walk(loaded, ours, values, storage, precision is not None, told)
    budget = Budget.beside(ours)
    made = tuple(tensors(ours, values, walked.findings, profile, budget))
    diagnosed = _diagnosed(made, walked.findings, told) if diagnosing else ()
    return Report(
        reference=str(getattr(ours, "path", "")),
        candidate=str(getattr(theirs, "path", "")),
        model=None if loaded is None else str(getattr(loaded, "path", None) or model),
        profile=profile.name,
        storage=storage,
        tensors=made,
        not_compared=tuple(not_compared(matching, ours, values, walked, waive)),
        diagnosed=diagnosed,
        warnings=(*notes, *_warnings(storage, profile, loaded is not None or bool(budget.levels))),
        weights=tuple(wrong),
        nondeterministic=() if again is None else tuple(_unsteady(made, theirs, opened(again))),
        evidence=tuple(evidence(ours, values, made, walked.findings, diagnosed, profile)),
    )


def opened(dump: Path | Named) -> Named:
    """The mapping itself, or the dump at a path."""
    return dump if isinstance(dump, Mapping) else open_dump(dump)


def model_of(model: Any) -> Any:
    """The model itself, or what a path holds."""
    if model is None or not isinstance(model, str | os.PathLike):
        return model
    return load(model)


def _diagnosed(
    tensors: Sequence[Compared], findings: Mapping[str, Finding], told: Callable[[str], None]
) -> tuple[Diagnosed, ...]:
    found = [findings[t.name] for t in tensors if t.name in findings]
    guilty = [f for f in found if f.scene is not None]
    made: list[Diagnosed] = []
    while guilty and len(made) < MOST_DIAGNOSED:
        (first, *rest), scene = guilty, guilty[0].scene
        assert scene is not None
        told(f"diagnosing {first.name}")
        best = tuple(scene.diagnose())
        explained = best and best[0].explains
        same = [f for f in rest if explained and f.scene and f.scene.again(best[0])]
        made.append(Diagnosed(first.name, best, tuple(f.name for f in same)))
        guilty = [f for f in rest if f not in same]
    return tuple(made)


def _unsteady(tensors: Sequence[Compared], first: Named, second: Named) -> Iterator[str]:
    """Tensors that differ between two runs by more than honest rounding, or that one run lacks."""
    for t in tensors:
        if t.candidate not in second or second[t.candidate].shape != first[t.candidate].shape:
            yield t.name
        elif t.judged is not None:
            apart = measure(first[t.candidate], second[t.candidate])
            if apart.rms > GATES[0] * t.judged.noise.unit.rms or apart.broken:
                yield t.name


def _warnings(storage: str, profile: Profile, measured: bool) -> Iterator[str]:
    if not measured:
        yield (
            "no model and no honest runs to judge by, so what is handed down looks wrong, too: "
            "name the model by --model, or make the reference by refdiff trace --budget"
        )
    if profile.name != storage:
        yield (
            f"the numbers are {storage}'s, but only the rounding of {profile.name} explains them: "
            "it was computed with that"
        )
