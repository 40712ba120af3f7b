"""How cost grows with the picture: docs/scaling.md and docs/pictures/scaling.png.

    python -m tests.bench.scaling docs

One call of the U-Net of Stable Diffusion 1.5 with random float16 weights, for pictures from 256x256
to 1024x1024, batch 1 and 2: seconds of self-attention and of all else, by `refdiff.ledger`, and the
most that arrays took at a time, as Python's tracemalloc counts it. Memory is small, so that no room
is left over from the size before.
"""

import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np

import refdiff
from refdiff.ledger import ledger
from refdiff.plots import Line, Panel, plot
from tests.bench.memory import run
from tests.bench.speed.race import machine

SIDES = (256, 384, 512, 768, 1024)


class Cost(NamedTuple):
    """Of one call."""

    side: int
    batch: int
    attention: float
    rest: float
    peak: float  # MB

    @property
    def tokens(self) -> int:
        return (self.side // 8) ** 2


def measured(folder: Path) -> list[Cost]:
    """Every size, once compiled."""
    unet, costs = refdiff.load(folder / "unet"), []
    states = np.zeros((2, 77, 768), np.float32)
    for side, batch in [(SIDES[0], 1), *((side, n) for side in SIDES for n in (1, 2))]:
        shape = batch, 4, side // 8, side // 8
        x = np.random.default_rng(side).standard_normal(shape, np.float32)
        tracemalloc.start()
        with refdiff.engine("fast"), refdiff.memory("small"), ledger() as found:
            unet(x, 500.0, states[:batch])
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        own = sum(
            e.seconds
            for (op, arrays, _), e in found.items()
            if op == "attention" and len(set(arrays.split())) == 1
        )
        rest = sum(e.seconds for e in found.values()) - own
        costs.append(Cost(side, batch, own, rest, peak))
        print(costs[-1], file=sys.stderr, flush=True)
    return costs[1:]


def exponent(x: list[float], y: list[float]) -> float:
    """The slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def main(pages: Path) -> None:
    """Measure, and write the page and the picture."""
    with tempfile.TemporaryDirectory() as name:
        run(["-m", "tests.bench.memory", "make", name])
        costs = measured(Path(name))
    two = [c for c in costs if c.batch == 2]
    tokens = np.array([c.tokens for c in two], float)
    kinds = {"all but self-attention": "rest", "self-attention": "attention"}
    seconds = [
        Line(n, tokens, np.array([getattr(c, a) for c in two]), dots=True) for n, a in kinds.items()
    ]
    peaks = [Line("arrays", tokens, np.array([c.peak for c in two]), dots=True)]
    picture = plot(
        [
            Panel("seconds of a call, batch 2", "tokens", "s", seconds, x_log=True, y_log=True),
            Panel("most memory of arrays, batch 2", "tokens", "MB", peaks),
        ]
    )
    picture.save(pages / "pictures" / "scaling.png")
    large = [c for c in two if c.side >= 512]
    batch = [
        (b.rest + b.attention) / (a.rest + a.attention)
        for a, b in zip(costs[::2], costs[1::2], strict=True)
    ]
    rows = [
        f"| {c.side}x{c.side} | {c.batch} | {c.tokens} | {c.rest:.2f} s | {c.attention:.2f} s | "
        f"{c.peak:.0f} MB |"
        for c in costs
    ]
    slope = exponent([c.tokens for c in large], [c.rest for c in large])
    own = exponent([c.tokens for c in large], [c.attention for c in large])
    line = np.polyfit(tokens, [c.peak for c in two], 1)
    off = np.abs(np.polyval(line, tokens) / [c.peak for c in two] - 1).max()
    lines = [
        "# How cost grows with the picture",
        "",
        "Written by `python -m tests.bench.scaling docs`: one call of the U-Net of Stable "
        "Diffusion 1.5 with random weights in float16, float32 arithmetic, on: "
        f"{machine()}, which others share. Memory is the most that arrays took at a time, widened "
        "weights among them, mapped files not, with small memory.",
        "",
        "| picture | batch | tokens | all but self-attention | self-attention | arrays |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"From 512x512 on, all but self-attention grows as tokens to the power {slope:.2f}, "
        f"self-attention as tokens to the power {own:.2f}. Two samples take "
        f"{min(batch):.2f} to {max(batch):.2f} times one. Memory is {line[1]:.0f} MB and "
        f"{1e3 * line[0]:.0f} kB a token, within {off:.1%}.",
        "",
        "![seconds and memory over tokens](pictures/scaling.png)",
        "",
    ]
    (pages / "scaling.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
