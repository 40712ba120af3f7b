"""The answer of `refdiff verify` on one screen."""

from collections import Counter
from collections.abc import Iterator

from refdiff.verify.labels import clean
from refdiff.verify.report import Compared, Diagnosed, Report
from refdiff.verify.report_text import LINES, WORDS
from refdiff.verify.verdict import State


def screen(report: Report) -> str:
    """The report as a person reads it."""
    return "\n".join(map(clean, _lines(report)))


def _lines(report: Report) -> Iterator[str]:
    yield f"{WORDS[report.verdict]} (exit {int(report.exit_code)})"
    states = Counter(str(t.state) for t in report.tensors)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    yield f"  judged        {len(report.tensors)} outputs as {report.profile}: {told or 'none'}"
    yield from _some("wrong", _wrong(report))
    yield from _some("loose", [_size(t) for t in report.tensors if t.state == State.LOOSE])
    yield from _some("not compared", [f"{n.name}: {n.detail}" for n in report.not_compared])
    yield from _some("not the same", list(report.nondeterministic))


def _wrong(report: Report) -> list[str]:
    why = {d.name: d for d in report.diagnosed}
    guilty = [t for t in report.tensors if t.state >= State.UNEXPLAINED]
    return [f"{_size(t)}; {matched(why[t.name])}" if t.name in why else _size(t) for t in guilty]


def _size(t: Compared) -> str:
    return f"{t.name}: {t.rho:.3g} times honest rounding, {t.state}"


def matched(diagnosed: Diagnosed) -> str:
    """Which mistake it is, or how far the nearest one is."""
    if not diagnosed.explanations:
        return "no known mistake is at hand"
    best = diagnosed.explanations[0]
    if best.explains:
        return f"you match neg.{best.id} ({best.title})"
    return f"no known mistake; the nearest, neg.{best.id}, is at {best.rho_after:.3g}"


def _some(label: str, lines: list[str]) -> Iterator[str]:
    yield from (f"  {label:<13} {line}" for line in lines[:LINES])
    if len(lines) > LINES:
        yield f"  {label:<13} and {len(lines) - LINES} more"
