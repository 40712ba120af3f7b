"""The sections of the page on the tensors that are wrong: why, and what the error looks like."""

from collections.abc import Iterator

import numpy as np

from refdiff.verify.diagnose import Explanation
from refdiff.verify.formats import FORMATS, Format
from refdiff.verify.markup import Html, el, table
from refdiff.verify.metrics import ULP_QUANTILES, ulps
from refdiff.verify.report import Compared, Evidence, Report
from refdiff.verify.report_chart import histogram
from refdiff.verify.report_heat import COLOURS, heat_map, worst_channels
from refdiff.verify.verdict import explain

LARGEST, SMALLEST = 400, 32  # a heat map's longer and shorter side on the page, in pixels


def guilty(report: Report) -> Iterator[Html]:
    """A section for each tensor that was looked into."""
    told = {t.name: t for t in report.tensors}
    evidence = {e.name: e for e in report.evidence}
    why = {d.name: d for d in report.diagnosed}
    for name in {**evidence, **why}:
        parts = [el("h2", name)]
        if name in told:
            parts.append(el("p", how_much(told[name])))
        if name in why:
            parts.append(explanations(why[name].explanations))
            if also := why[name].also:
                parts.append(el("p", f"Explained likewise, {len(also)} more: {', '.join(also)}"))
        if name in evidence:
            parts.append(pictures(evidence[name], FORMATS[report.storage or report.profile]))
        if name in told and (judged := told[name].judged):
            steps = el("pre", explain(judged))
            parts.append(el("details", el("summary", "how this was judged"), steps))
        yield el("section", *parts, class_="guilty")


def explanations(found: tuple[Explanation, ...]) -> Html:
    """The mistakes that come nearest, the best first."""
    if not found:
        return el("p", "No mistake of the catalogue can be made there.")
    rows = [
        (
            "yes" if e.explains else "no",
            e.title,
            e.id,
            e.where,
            f"{e.rho_before:.3g} → {e.rho_after:.3g}",
        )
        for e in found
    ]
    return table(("explains it", "what", "id", "where", "times honest rounding"), rows)


def pictures(evidence: Evidence, storage: Format) -> Html:
    """Where the error is, how it is spread, and in which channels."""
    if not evidence.exact.size:
        return Html("")
    with np.errstate(all="ignore"):
        figures = [heat(evidence), spread(evidence, storage), channels(evidence)]
    return el("div", *figures, class_="pictures")


def heat(evidence: Evidence) -> Html:
    """The worst plane's error, signed."""
    found = heat_map(evidence.given - evidence.exact)
    rows, columns = found.shape
    zoom = LARGEST / max(rows, columns)
    width, height = (max(round(n * zoom), SMALLEST) for n in (columns, rows))
    scale = el(
        "div",
        *(el("span", f"{v:+.2g}" if v else "0") for v in (-found.peak, 0.0, found.peak)),
        class_="scale",
        style=f"background-image: linear-gradient(90deg, {', '.join(COLOURS)})",
    )
    caption = (
        f"candidate - exact at {found.index}, where it is worst: {rows} rows, {columns} columns"
    )
    broken = np.count_nonzero(~np.isfinite(evidence.given))
    note = f"; {broken} elements of the tensor are not finite: black" if broken else ""
    return el(
        "figure",
        el(
            "img",
            src=found.uri,
            alt=caption,
            style=f"width:{width}px;aspect-ratio:{width}/{height}",
        ),
        scale,
        el("figcaption", caption + note),
    )


def spread(evidence: Evidence, storage: Format) -> Html:
    """The histogram, with what it cannot show in words."""
    equal, honest = (
        np.count_nonzero(x == evidence.exact) for x in (evidence.given, evidence.honest)
    )
    shares = zip(ULP_QUANTILES, ulps(evidence.exact, evidence.given, storage), strict=True)
    far = ", ".join(f"{n:.3g} ({share:.1%})" for share, n in shares)
    caption = el(
        "figcaption",
        "absolute errors: ",
        el("span", "candidate", class_="key given-bars"),
        el("span", "honest rounding", class_="key honest-bars"),
        f" exactly equal are {equal} and {honest} of {evidence.exact.size} elements; the "
        f"candidate's lie within {far} spacings of {storage.name}",
    )
    return el("figure", histogram(evidence), caption)


def channels(evidence: Evidence) -> Html:
    """The worst channels."""
    rows = [
        (c.number, f"{c.rms:.2e}", f"{c.mean:+.2e}", f"{c.times:.3g}")
        for c in worst_channels(evidence)
    ]
    head = ("channel", "rms", "mean", "times")
    return el(
        "figure",
        table(head, rows),
        el("figcaption", "the worst channels: errors, and how many times honest rounding"),
    )


def how_much(t: Compared) -> str:
    """A tensor's error in a line."""
    if t.judged is None:
        return "it could not be judged"
    m, noise, excess = t.judged.metrics, t.judged.noise, t.judged.excess
    kind = "local" if t.local is not None else "total"
    told = f"{kind} error {m.rms:.2e}, honest rounding {noise.unit.rms:.2e}: {t.rho:.3g} times"
    return told + (f"; {excess.count} of {m.n} elements are impossible" if excess else "")
