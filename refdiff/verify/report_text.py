"""The answer on one screen: right or wrong, where, why."""

from collections import Counter
from collections.abc import Iterator

from refdiff.verify.labels import clean
from refdiff.verify.report import Compared, Diagnosed, Report
from refdiff.verify.verdict import State

WORDS = {
    "explained": "right: everything is explained by rounding",
    "unexplained": "wrong",
    "impossible": "wrong: no rounding can do this",
    "incomplete": "not compared in full",
    "nondeterministic": "not the same twice",
    "loose": "loose: off by more than honest rounding, by less than a mistake",
}
LINES = 6  # of names, before the rest is counted


def screen(report: Report) -> str:
    """The report as a person reads it."""
    return "\n".join(map(clean, _lines(report)))


def each(report: Report) -> Iterator[str]:
    """A line for every tensor: its state, its error in units of honest rounding, its name."""
    for t in report.tensors:
        yield clean(f"  {t.state!s:<12}{t.rho:>10.3g}  {t.name}")


def _lines(report: Report) -> Iterator[str]:
    yield f"{WORDS[report.verdict]} (exit {int(report.exit_code)})"
    states = Counter(str(t.state) for t in report.tensors)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    local = sum(t.local is not None for t in report.tensors)
    yield f"  compared    {len(report.tensors)} tensors as {report.profile}: {told or 'none'}"
    yield f"  judged by   the error of each layer alone in {local}" + (
        "" if local else "; name the model by --model to tell it from what was handed down"
    )
    yield from (f"  weights     {line}" for line in report.weights[:LINES])
    if report.first is not None:
        yield from _divergence(report.first)
    for diagnosed in report.diagnosed:
        yield from _diagnosis(diagnosed)
    wrong = [t for t in report.tensors if t.state >= State.UNEXPLAINED]
    if len(wrong) > 1:
        yield f"  also wrong  {_some([t.name for t in wrong[1:]])}"
    open_ = [n for n in report.not_compared if not n.waived]
    for n in open_[:LINES]:
        yield f"  not compared  {n.name}: {n.reason}, {n.detail}"
    if len(open_) > LINES:
        yield f"  not compared  and {len(open_) - LINES} more"
    yield from (f"  note        {line}" for line in report.warnings)


def _divergence(t: Compared) -> Iterator[str]:
    yield f"  first wrong {t.name}"
    if t.judged is not None:
        m, noise = t.judged.metrics, t.judged.noise
        beyond = t.judged.excess.count if t.judged.excess else 0
        proof = f"; {beyond} of {m.n} elements impossible by rounding" if beyond else ""
        kind = "local" if t.local is not None else "total"
        yield (
            f"              {kind} error {m.rms:.2e}, honest {noise.profile.name} rounding "
            f"{noise.unit.rms:.2e}: {t.rho:.3g} times{proof}"
        )


def _diagnosis(diagnosed: Diagnosed) -> Iterator[str]:
    name, best = diagnosed.name, diagnosed.explanations
    if not best:
        yield f"  why         nothing in the catalogue applies to {name}"
        return
    first, *others = best
    if not first.explains:
        yield (
            f"  why         {name}: no known mistake explains it; the nearest is {first.title} "
            f"({first.id}): {first.rho_before:.3g} -> {first.rho_after:.3g}"
        )
        return
    where = first.where or name
    yield f"  why         {where}: {first.title} ({first.id})"
    yield f"              {first.rho_before:.3g} -> {first.rho_after:.3g} times honest rounding" + (
        f"; next best {others[0].id}: {others[0].rho_after:.3g}" if others else ""
    )
    if diagnosed.also:
        yield f"              likewise in {len(diagnosed.also)} more: {_some([*diagnosed.also])}"


def _some(names: list[str]) -> str:
    more = len(names) - LINES
    return ", ".join(names[:LINES]) + (f" and {more} more" if more > 0 else "")
