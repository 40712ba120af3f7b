"""The answer as one HTML page that needs nothing else: no network, no other file, no script.

The script in it sorts and filters the table of all tensors; everything is there without it.
"""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from refdiff.verify.markup import Html, el, framed, table
from refdiff.verify.report import Compared, NotCompared, Report, step_of
from refdiff.verify.report_chart import along_the_network
from refdiff.verify.report_guilty import guilty, how_much
from refdiff.verify.report_text import WORDS
from refdiff.verify.verdict import GATES, State

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The page of a report; what comes from files, names above all, is escaped."""
    word = WORDS[report.verdict]
    style, script = (_beside(name) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"{POLICY}; script-src 'sha256-{digest}'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"refdiff: {word}"),
        el("style", Html(style)),
    )
    main = el("main", answer(report), network(report), *guilty(report), *rest(report))
    body = el("body", main, el("script", Html(script)))
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


@cache
def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def answer(report: Report) -> Html:
    """Right or wrong, where, why, in one glance."""
    word, _, more = WORDS[report.verdict].partition(": ")
    states = Counter(str(t.state) for t in report.tensors)
    counts = ", ".join(f"{n} {state}" for state, n in states.items())
    waived = sum(n.waived for n in report.not_compared)
    open_ = len(report.not_compared) - waived
    local = sum(t.local is not None for t in report.tensors)
    facts = [
        *_where(report),
        ("compared", f"{len(report.tensors)} tensors as {report.profile}: {counts or 'none'}"),
        ("not compared", f"{open_ or 'nothing'}" + (f", {waived} waived" if waived else "")),
        ("judged by", f"the error of each layer alone in {local} of {len(report.tensors)}"),
        ("reference", report.reference or "arrays in memory"),
        ("candidate", report.candidate or "arrays in memory"),
        ("model", report.model or "none: errors that were handed down count too"),
    ]
    return el(
        "header",
        el("h1", word.capitalize(), el("small", more)),
        el("p", f"exit code {int(report.exit_code)}", class_="exit"),
        el("dl", *(el("div", el("dt", term), el("dd", told)) for term, told in facts)),
        class_=f"answer {report.verdict}",
    )


def _where(report: Report) -> Iterator[tuple[str, object]]:
    first = report.first
    if first is not None:
        yield "first wrong", el("a", first.name, href=f"#t{report.tensors.index(first)}")
        yield "by how much", how_much(first)
    if report.diagnosis and first is not None:
        best = report.diagnosis[0]
        sure = "" if best.explains else "no known mistake explains it; the nearest: "
        yield "why", f"{sure}{best.title}, at {best.where or first.name}"
    for line in report.weights:
        yield "weights", line


def network(report: Report) -> Html:
    """The chart, and how to read it."""
    if not report.tensors:
        return Html("")
    low, high = GATES
    keys = [el("span", state, class_=f"key {state}") for state in map(str, State)]
    caption = (
        "A dot is a tensor's own error in units of honest rounding, in order of computation; the "
        "line is its total error, with all that was handed down to it. The band is what honest "
        f"rounding does; the gates stand at {low:g} and {high:g}, and are wider for tensors of "
        "few elements. A dot at the lower edge is exact, or near it."
    )
    return el(
        "section",
        el("h2", "Along the network"),
        el("div", along_the_network(report), class_="wide"),
        el("p", *keys, el("span", "total error", class_="key line"), class_="keys"),
        el("p", caption, class_="note"),
        *over_the_steps(report),
    )


def over_the_steps(report: Report) -> Iterator[Html]:
    """What each step's latents are off by, alone and in all."""
    chosen = [i for i, t in enumerate(report.tensors) if step_of(t.name) is not None]
    if len(chosen) > 1:
        yield el("h2", "Over the steps")
        yield el("div", along_the_network(report, chosen), class_="wide")
        yield el(
            "p",
            "The latents after each step: dots are what the step itself adds when it starts from "
            "the candidate's own values (teacher-forced), the line is how far the candidate has "
            "drifted from the reference's run (free-running).",
            class_="note",
        )


def rest(report: Report) -> Iterator[Html]:
    """What was not compared, what else there is to say, and every tensor."""
    if report.not_compared:
        rows = [_open(n) for n in report.not_compared]
        yield el("section", el("h2", "Not compared"), table(("tensor", "reason", "", ""), rows))
    notes = [*report.warnings, *(f"not the same twice: {n}" for n in report.nondeterministic)]
    if notes:
        yield el("section", el("h2", "Notes"), el("ul", *(el("li", n) for n in notes)))
    if report.tensors:
        search = el("input", type="search", placeholder="filter by name or state", hidden="")
        yield el("section", el("h2", "All tensors"), search, tensors(report.tensors))


def _open(n: NotCompared) -> tuple[str, ...]:
    return n.name, n.reason, n.detail, "waived" if n.waived else ""


def tensors(every: Iterable[Compared]) -> Html:
    """The verdict on each tensor, in order of computation."""
    head = ("", "tensor", "state", "times honest", "local error", "total error", "honest", "as")
    rows = []
    for i, t in enumerate(every):
        local = None if t.local is None else t.local.metrics.rms
        total = None if t.total is None else t.total.rms
        noise = None if t.judged is None else t.judged.noise.unit.rms
        found = " ".join(filter(None, (t.candidate if t.candidate != t.name else "", t.layout)))
        cells = (
            el("td", i, data_v=i),
            el("td", t.name),
            el("td", el("span", t.state, class_=f"key {t.state}"), data_v=int(t.state)),
            *(_number(v, digits) for v, digits in ((t.rho, ".3g"), (local, ".2e"), (total, ".2e"))),
            _number(noise, ".2e"),
            el("td", found),
        )
        rows.append(el("tr", *cells, id=f"t{i}"))
    return framed(head, rows, class_="all")


def _number(value: float | None, digits: str) -> Html:
    if value is None or math.isnan(value):
        return el("td", "", data_v=-1)
    return el("td", f"{value:{digits}}", data_v=f"{min(value, 1e300):.6g}")
