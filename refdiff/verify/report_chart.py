"""Charts of a report as SVG: the error along the network, and how the errors of one tensor lie."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from refdiff.op import Array
from refdiff.verify.labels import block_of
from refdiff.verify.markup import Html, el, join
from refdiff.verify.metrics import ratio
from refdiff.verify.report import Compared, Evidence, Report
from refdiff.verify.verdict import GATES, State

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 1000.0, 320.0, 52.0, 14.0, 12.0
BELOW = 130.0  # for the blocks' names, which stand on end
LETTERS, APART = 20, 14.0  # most of a block's name; between two of them
LOW, HIGH = -2, 3  # decades that are shown in any case; the lowest that ever is
SHAPES = {  # of a tensor's dot; not the colour alone tells the states
    State.EXPLAINED: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    State.LOOSE: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    State.UNEXPLAINED: "M0 -6L6 5L-6 5z",
    State.IMPOSSIBLE: "M0 -6.5L6.5 0L0 6.5L-6.5 0z",
}
BINS, BARS_WIDTH, BARS_HEIGHT = 48, 340.0, 190.0


@dataclass(frozen=True)
class Scale:
    """From numbers to places on paper, by their logarithm; what lies beyond stands at the edge."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        log = math.log10(value) if value > 0 else -math.inf
        share = (min(max(log, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def decades(self, most: int = 8) -> list[int]:
        """The powers of ten that are to be marked."""
        powers = range(math.ceil(self.low), math.floor(self.high) + 1)
        return [p for p in powers if p % math.ceil(len(powers) / most) == 0]


def along_the_network(report: Report, chosen: Sequence[int] | None = None) -> Html:
    """Each tensor's own and total error in units of honest rounding, in order of computation.

    chosen: the numbers of the tensors, where not all are to be shown.
    """
    whole = chosen is None  # which holds the shapes of all dots on the page
    chosen = range(len(report.tensors)) if chosen is None else chosen
    tensors = [report.tensors[i] for i in chosen]
    totals = [_total(t) for t in tensors]
    top = max((v for v in (*totals, *(t.rho for t in tensors)) if 0 < v < 1e300), default=1.0)
    y = Scale(LOW, max(HIGH, math.ceil(math.log10(top))), HEIGHT, TOP)
    xs = _spread(len(tensors))
    line = [(x, y.at(v)) for x, v in zip(xs, totals, strict=True) if not math.isnan(v)]
    dots = sorted(zip(range(len(tensors)), tensors, strict=True), key=lambda pair: pair[1].state)
    return el(
        "svg",
        el("defs", *(el("path", id=f"dot-{s}", d=d) for s, d in SHAPES.items() if whole)),
        el("rect", class_="honest", x=LEFT, y=y.at(1), width=_inside(), height=HEIGHT - y.at(1)),
        *_levels(y),
        *_blocks(tensors, xs),
        el("path", class_="total", d="M" + "L".join(f"{a} {b}" for a, b in line) if line else ""),
        *(_dot(chosen[i], t, totals[i], xs[i], y) for i, t in dots),
        class_="network",
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT + BELOW:.0f}",
        role="img",
        aria_label="errors of all tensors in units of honest rounding, in order of computation",
    )


def _total(t: Compared) -> float:
    """The total error in units of the layer's honest rounding, not a number where that is none."""
    if t.total is None or t.judged is None or not t.judged.noise.unit.rms:
        return math.nan
    return ratio(t.total.rms, t.judged.noise.unit.rms)


def _inside() -> float:
    return WIDTH - LEFT - RIGHT


def _spread(n: int) -> list[float]:
    """So many places from left to right."""
    return [round(LEFT + _inside() * (i + 0.5) / n, 1) for i in range(n)]


def _levels(y: Scale) -> Iterator[Html]:
    """The axis, and the gates between the states."""
    for power in sorted({LOW, *y.decades()}):
        at = y.at(10.0**power)
        yield el("path", class_="grid", d=f"M{LEFT} {at}H{WIDTH - RIGHT}")
        label = f"{10**power:,}" if 0 <= power < 5 else f"1e{power}"
        label = f"≤ {label}" if power == LOW else label
        yield el("text", label, x=LEFT - 6, y=at + 4, text_anchor="end")
    for gate, above in zip(GATES, (State.LOOSE, State.UNEXPLAINED), strict=True):
        at = y.at(gate)
        title = el("title", f"{gate:g} times honest rounding; above it: {above}")
        yield el("path", title, class_=f"gate {above}", d=f"M{LEFT} {at}H{WIDTH - RIGHT}")


def _blocks(tensors: Sequence[Compared], xs: Sequence[float]) -> Iterator[Html]:
    """A line before each block, and its name where there is room."""
    start, free = 0, -math.inf
    for block, members in groupby(block_of(t.name) for t in tensors):
        end = start + sum(1 for _ in members)
        left, middle = xs[start], (xs[start] + xs[end - 1]) / 2
        if start:
            yield el("path", class_="grid", d=f"M{left} {TOP}V{HEIGHT}")
        if middle - free >= APART:
            free = middle
            short = block if len(block) <= LETTERS else "…" + block[1 - LETTERS :].lstrip(".")
            place = f"translate({middle + 4:.1f} {HEIGHT + 8}) rotate(-90)"
            title = el("title", block)
            yield el("text", short, title, transform=place, text_anchor="end")
        start = end


def _dot(i: int, t: Compared, total: float, x: float, y: Scale) -> Html:
    kind = "local" if t.local is not None else "total"
    told = f"{t.name}\n{t.state}: {kind} error {t.rho:.3g} times honest rounding"
    if t.local is not None and not math.isnan(total):
        told += f", total {total:.3g}"
    mark = el("use", href=f"#dot-{t.state}", x=x, y=y.at(t.rho), class_=t.state)
    return el("a", el("title", told), mark, href=f"#t{i}")


def histogram(evidence: Evidence) -> Html:
    """How many elements are off by how much: the candidate's before those of honest rounding."""
    errors = [abs(x - evidence.exact).ravel() for x in (evidence.honest, evidence.given)]
    logs = [np.log10(e[np.isfinite(e) & (e > 0)]) for e in errors]
    every = np.concatenate(logs)
    low, high = (math.floor(every.min()), math.ceil(every.max())) if every.size else (-8, -7)
    scale = Scale(low, max(high, low + 1), 18.0, BARS_WIDTH - 18)
    base, n = BARS_HEIGHT - 24, max(evidence.exact.size, 1)
    counts = [np.histogram(x, BINS, (scale.low, scale.high))[0] / n for x in logs]
    most = max(float(c.max()) for c in counts) or 1.0
    edges = np.linspace(scale.start, scale.end, BINS + 1)
    bars = [
        el("path", class_=name, d=_steps(edges, base - (base - 18) * count / most, base))
        for name, count in zip(("honest-bars", "given-bars"), counts, strict=True)
    ]
    ticks = [
        el("text", f"1e{power}", x=scale.at(10.0**power), y=BARS_HEIGHT - 8, text_anchor="middle")
        for power in scale.decades(5)
    ]
    return el(
        "svg",
        *bars,
        el("path", class_="axis", d=f"M0 {base}H{BARS_WIDTH}"),
        el("text", f"{100 * most:.3g} % of the elements at the highest", x=8, y=12),
        join(*ticks),
        class_="histogram",
        viewBox=f"0 0 {BARS_WIDTH:.0f} {BARS_HEIGHT:.0f}",
        role="img",
        aria_label="histogram of absolute errors, of the candidate and of honest rounding",
    )


def _steps(edges: Array, tops: Array, base: float) -> str:
    """The outline of bars that stand side by side."""
    path = [f"V{top:.1f}H{edge:.1f}" for edge, top in zip(edges[1:], tops, strict=True)]
    return f"M{edges[0]:.1f} {base}" + "".join(path) + f"V{base}Z"
