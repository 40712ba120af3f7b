"""Judging an implementation by the kit: each output in units of honest rounding."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from refdiff.errors import ConfigError
from refdiff.op import Array
from refdiff.verify.bounded import Excess
from refdiff.verify.diagnose import Explanation
from refdiff.verify.kit.answers import Answers, Unanswered
from refdiff.verify.kit.read import Entry, Expected, read_kit
from refdiff.verify.metrics import measure, ratio
from refdiff.verify.report import Compared, Diagnosed, NotCompared, Report
from refdiff.verify.verdict import State, Verdict, judge

MOST = 5  # mistakes that are named
SINGLE = 2.0**-24  # negatives are kept in float32


@dataclass
class Findings:
    """What a report is made of, as it is found."""

    tensors: list[Compared] = field(default_factory=list)
    open: list[NotCompared] = field(default_factory=list)
    diagnosed: list[Diagnosed] = field(default_factory=list)
    nondeterministic: list[str] = field(default_factory=list)


def verify(
    kit: str | os.PathLike[str],
    answers: Answers,
    precision: str = "float32",
    *,
    only: str = "*",
    twice: bool = False,
    candidate: str = "",
) -> Report:
    """Ask every vector whose id matches the glob, and judge what comes back.

    twice: ask again, and tell what is not the same. Raises RefdiffError for a kit that cannot be
    read; an answer that is not there or has the wrong shape stands in the report.
    """
    entries = [entry for entry in read_kit(kit) if fnmatchcase(entry.id, only)]
    if not entries:
        raise ConfigError(f"no vector of {kit} matches {only!r:.100}: `*` matches all")
    found = Findings()
    for entry in entries:
        tensors = entry.tensors()
        given = ask(entry, tensors, answers)
        again = ask(entry, tensors, answers) if twice else given
        for name, expected in entry.outputs.items():
            examine(found, entry, tensors, name, expected, given, precision)
            if twice and not same(given, again, f"out.{name}"):
                found.nondeterministic.append(f"{entry.id}.{name}")
    return Report(
        str(kit),
        candidate,
        None,
        precision,
        tuple(found.tensors),
        tuple(found.open),
        tuple(found.diagnosed),
        nondeterministic=tuple(found.nondeterministic),
    )


def ask(entry: Entry, tensors: Mapping[str, Array], answers: Answers) -> Mapping[str, Array] | str:
    """The answer, or why there is none."""
    try:
        return answers(entry, tensors)
    except Unanswered as error:
        return str(error)


def same(a: Mapping[str, Array] | str, b: Mapping[str, Array] | str, name: str) -> bool:
    """Whether both answers say the same, bit for bit."""
    if isinstance(a, str) or isinstance(b, str):
        return type(a) is type(b)
    if name not in a or name not in b:
        return (name in a) == (name in b)
    return a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()


def examine(
    found: Findings,
    entry: Entry,
    tensors: Mapping[str, Array],
    name: str,
    expected: Expected,
    given: Mapping[str, Array] | str,
    precision: str,
) -> None:
    """Judge one output, and where rounding does not explain it, say which mistake is nearest."""
    full, exact = f"{entry.id}.{name}", tensors[f"out.{name}"]
    if isinstance(given, str) or f"out.{name}" not in given:
        detail = given if isinstance(given, str) else f"the answer holds no out.{name}"
        found.open.append(NotCompared(full, "missing", detail))
        return
    y = np.asarray(given[f"out.{name}"])
    if y.shape != exact.shape:
        detail = f"the answer has the shape {list(y.shape)}, expected {list(exact.shape)}"
        found.open.append(NotCompared(full, "misshapen", detail))
        return
    if y.dtype.kind not in "fiu":
        found.open.append(NotCompared(full, "unknown", f"the answer is of type {y.dtype}"))
        return
    verdict = judged(exact, y, expected, precision)
    found.tensors.append(Compared(full, f"out.{name}", "exact", "", None, verdict.metrics, verdict))
    if verdict.state >= State.UNEXPLAINED:
        near = sorted(nearest(entry, tensors, name, y, verdict), key=lambda e: e.rho_after)[:MOST]
        found.diagnosed.append(Diagnosed(full, tuple(near)))


def judged(exact: Array, y: Array, expected: Expected, precision: str) -> Verdict:
    """The verdict by the manifest's noise and, of float32, its bound."""
    noise = expected.noise[precision]
    metrics = measure(exact, y)
    excess = None
    if expected.bound is not None and precision == "float32":
        beyond = np.abs(y.astype(np.float64) - exact) > expected.bound
        count = int(np.count_nonzero(beyond))
        excess = Excess(count, ratio(metrics.level.largest, expected.bound), metrics.largest_at, 0)
    return judge(metrics, noise, excess)


def nearest(
    entry: Entry, tensors: Mapping[str, Array], name: str, y: Array, verdict: Verdict
) -> Iterator[Explanation]:
    """What is left of the error if a mistake was made, for each that the kit knows of."""
    for id, title in entry.negatives.items():
        wrong = tensors.get(f"neg.{id}.out.{name}")
        if wrong is not None:
            left = measure(wrong, y)
            unit = max(verdict.noise.unit.rms, SINGLE * left.reference_rms)
            if not left.broken:
                yield Explanation(id, title, "", verdict.rho.rms, ratio(left.rms, unit))
