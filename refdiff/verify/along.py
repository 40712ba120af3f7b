"""A candidate's values judged along the model, by the kind of rounding that they show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refdiff.components import TextEncoder
from refdiff.op import Array
from refdiff.pipeline import Pipeline
from refdiff.verify.aliases import OUTPUT
from refdiff.verify.between import judge_between
from refdiff.verify.formats import PROFILES, Profile
from refdiff.verify.judging import Finding, Judge
from refdiff.verify.models import run_along
from refdiff.verify.replay import Replay
from refdiff.verify.verdict import State
from refdiff.verify.views import Arranged

Named = Mapping[str, Array]
TELLING = 16  # layers of which the kind of rounding can be told
WIDER = {"float32": ("tf32", "float16", "bfloat16"), "float16": ("bfloat16",)}


@dataclass(frozen=True)
class Walked:
    """What the model says along the candidate's values: of each layer, and which do not fit."""

    findings: Mapping[str, Finding] = field(default_factory=dict)
    misfits: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    @property
    def mostly_wrong(self) -> bool:
        """Whether rounding explains less than half: then it was another kind of rounding."""
        wrong = sum(f.verdict.state >= State.UNEXPLAINED for f in self.findings.values())
        return len(self.findings) >= TELLING and wrong > len(self.findings) / 2


def walk(
    model: Any,
    reference: Named,
    values: Named,
    storage: str,
    declared: bool,
    told: Callable[[str], None],
) -> tuple[Profile, Walked]:
    """The layers judged, and by which profile: the storage's own or, where that explains hardly
    any and a wider one does, the wider one."""
    first: Walked | None = None
    for name in (storage, *WIDER.get(storage, ())):
        told(f"running the model along {len(values)} tensors, {name}")
        walked = along(model, reference, values, PROFILES[name])
        if declared or not walked.mostly_wrong:
            return PROFILES[name], walked
        first = first or walked
    assert first is not None
    return PROFILES[storage], first


def rooted(model: Any, values: Named) -> Named:
    """The values as the model's layers are called: a network's own result has the empty name."""
    if OUTPUT not in values or isinstance(model, Pipeline | TextEncoder):
        return values
    names = {"" if name == OUTPUT else name: name for name in values if name != ""}
    return Arranged(values, names)


def along(model: Any, reference: Named, values: Named, profile: Profile) -> Walked:
    """Every layer's finding, in the order of computation."""
    found: dict[str, Finding] = {}
    known, values = values, rooted(model, values)

    def tell(finding: Finding) -> None:
        name = OUTPUT if finding.name == "" and values is not known else finding.name
        found[name] = replace(finding, name=name)

    judge_ = Judge(tell, profile)
    replay = Replay(values, judge_, tapped=judge_.tapped)
    run_along(model, reference, known, replay)
    if isinstance(model, Pipeline):
        judge_between(model, reference, known, profile, tell)
    return Walked(found, replay.misfits)
