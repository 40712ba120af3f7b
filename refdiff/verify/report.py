"""What a comparison found: plain data, which every way of showing it starts from."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from refdiff.op import Array
from refdiff.verify.diagnose import Explanation
from refdiff.verify.metrics import Metrics
from refdiff.verify.verdict import State, Verdict

SCHEMA = "refdiff-report-1"


class Exit(IntEnum):
    """The exit code: 0 all is explained by rounding, and what is wrong otherwise."""

    EXPLAINED = 0
    UNEXPLAINED = 1
    USAGE = 2
    INCOMPLETE = 3  # something was not compared
    NONDETERMINISTIC = 4
    LOOSE = 5  # off by more than honest rounding, by less than a mistake


@dataclass(frozen=True)
class Compared:
    """One tensor: how it was found, what it is off by itself, and from the reference in all."""

    name: str
    candidate: str
    how: str  # exact, alias, map, content
    layout: str
    local: Verdict | None  # judged against what the model makes of the candidate's own values
    total: Metrics | None  # from the reference, with all that was handed down
    judged: Verdict | None  # the one that counts: local where there is one, else total

    @property
    def state(self) -> State:
        """The verdict on it."""
        return State.UNEXPLAINED if self.judged is None else self.judged.state

    @property
    def rho(self) -> float:
        """Its error in units of honest rounding."""
        return float("inf") if self.judged is None else self.judged.rho.rms


@dataclass(frozen=True)
class NotCompared:
    """A name that was not compared, and why."""

    name: str
    reason: str  # missing, ambiguous, misshapen, unknown
    detail: str
    waived: bool = False


@dataclass(frozen=True)
class Diagnosed:
    """A guilty layer and what explains it, the best first."""

    name: str
    explanations: tuple[Explanation, ...]
    also: tuple[str, ...] = ()  # later layers that the first explanation explains, too


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a guilty tensor is, should be, and is where rounding is all that differs: [*] each."""

    name: str
    exact: Array
    given: Array
    honest: Array


@dataclass(frozen=True)
class Report:
    """The answer: right or wrong, where, why."""

    reference: str
    candidate: str
    model: str | None
    profile: str  # the kind of rounding that was reckoned with
    tensors: tuple[Compared, ...]
    not_compared: tuple[NotCompared, ...] = ()
    diagnosed: tuple[Diagnosed, ...] = ()
    warnings: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()  # what the candidate's weights differ in
    nondeterministic: tuple[str, ...] = ()
    storage: str = ""  # what the candidate's numbers are those of
    evidence: tuple[Evidence, ...] = field(default=(), compare=False, repr=False)

    @property
    def exit_code(self) -> int:
        """See `Exit`; what is worse goes first, and a wrong answer before a missing one."""
        worst = max((t.state for t in self.tensors), default=State.EXPLAINED)
        if worst >= State.UNEXPLAINED or self.weights:
            return Exit.UNEXPLAINED
        if self.nondeterministic:
            return Exit.NONDETERMINISTIC
        if not self.tensors or any(not n.waived for n in self.not_compared):
            return Exit.INCOMPLETE
        wider = self.storage not in ("", self.profile)  # as of a float32 that is tf32's
        return Exit.LOOSE if worst == State.LOOSE or wider else Exit.EXPLAINED

    @property
    def verdict(self) -> str:
        """The exit code in a word, or "impossible" where no rounding can do it."""
        impossible = any(t.state == State.IMPOSSIBLE for t in self.tensors)
        return "impossible" if impossible else Exit(self.exit_code).name.lower()

    @property
    def first(self) -> Compared | None:
        """The first divergence: the earliest tensor that rounding does not explain."""
        return next((t for t in self.tensors if t.state >= State.UNEXPLAINED), None)

    @property
    def diagnosis(self) -> tuple[Explanation, ...]:
        """What explains the first divergence, the best first, if it was diagnosed."""
        name = None if self.first is None else self.first.name
        return next((d.explanations for d in self.diagnosed if d.name == name), ())

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it; docs/report.md describes every key."""
        first = self.first
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "exit_code": int(self.exit_code),
            "reference": self.reference,
            "candidate": self.candidate,
            "model": self.model,
            "profile": self.profile,
            "storage": self.storage,
            "first_divergence": None if first is None else _divergence(first),
            "diagnosis": [_explanation(e) for e in self.diagnosis],
            "diagnoses": [
                {
                    "name": d.name,
                    "also": list(d.also),
                    "diagnosis": [_explanation(e) for e in d.explanations],
                }
                for d in self.diagnosed
            ],
            "not_compared": [asdict(n) for n in self.not_compared],
            "trajectory": [_step(t) for t in self.tensors if step_of(t.name) is not None],
            "nondeterministic": list(self.nondeterministic),
            "weights": list(self.weights),
            "warnings": list(self.warnings),
            "tensors": [_tensor(t) for t in self.tensors],
        }

    def to_json(self) -> str:
        """The same as text, by docs/report.schema.json; a number that is not finite is null."""
        return json.dumps(_finite(self.to_dict()), indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        from refdiff.verify.report_text import screen

        return screen(self)


def step_of(name: str) -> int | None:
    """The step whose latents a name means, `steps.3.x_prev`."""
    found = re.fullmatch(r"steps\.(\d{1,6})\.x_prev", name)
    return None if found is None else int(found[1])


def _step(t: Compared) -> dict[str, Any]:
    return {
        "step": step_of(t.name),
        "teacher_forced": None if t.local is None else t.local.metrics.relative,
        "free_running": None if t.total is None else t.total.relative,
    }


def _divergence(t: Compared) -> dict[str, Any]:
    judged = t.judged
    return {
        "name": t.name,
        "local_error": None if judged is None else judged.metrics.rms,
        "noise": None if judged is None else judged.noise.unit.rms,
        "rho": t.rho,
        "state": str(t.state),
        "impossible": 0 if judged is None or judged.excess is None else judged.excess.count,
    }


def _explanation(e: Explanation) -> dict[str, Any]:
    return {**asdict(e), "explains": e.explains}


def _tensor(t: Compared) -> dict[str, Any]:
    judged = t.judged
    return {
        "name": t.name,
        "candidate": t.candidate,
        "how": t.how,
        "layout": t.layout,
        "state": str(t.state),
        "rho": t.rho,
        "local": None if t.local is None else _level(t.local.metrics),
        "total": None if t.total is None else _level(t.total),
        "noise": None if judged is None else judged.noise.unit.rms,
        "impossible": 0 if judged is None or judged.excess is None else judged.excess.count,
    }


def _level(m: Metrics) -> dict[str, Any]:
    return {
        "rms": m.rms,
        "relative": m.relative,
        "quantile": m.level.quantile,
        "max": m.level.largest,
        "max_at": None if m.largest_at is None else list(m.largest_at),
        "cosine": m.cosine,
        "slope": m.slope,
        "snr": m.snr,
        "not_finite": m.broken,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) <= 1.7e308 else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(v) for v in value]
    return value
