"""Line plots on Pillow alone: panels of labelled lines, with linear or logarithmic axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # drawn so many times too large and shrunk: smooth lines
WIDTH, HEIGHT = 560, 380  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 44
INK, FAINT = "#222222", "#dddddd"
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b"),
    *("#9467bd", "#bcbd22", "#ff9896", "#17becf", "#7f7f7f", "#2ca02c", "#e377c2", "#1f3a93"),
)
MOST_INSIDE, BESIDE = 5, 215  # labels in the frame; room for more of them on its right

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """Points joined in their order, or dots; numbers that an axis cannot show are left out."""

    label: str
    x: Numbers
    y: Numbers
    joined: bool = True
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines in one frame."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_log: bool = False
    y_log: bool = False


def plot(panels: Sequence[Panel], columns: int = 2) -> Image.Image:
    """The panels side by side in rows of `columns`."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    image = Image.new("RGB", (columns * WIDTH * SCALE, rows * HEIGHT * SCALE), "white")
    for i, panel in enumerate(panels):
        corner = (i % columns * WIDTH, i // columns * HEIGHT)
        _Frame(ImageDraw.Draw(image), corner, panel).draw()
    return image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.LANCZOS)


class _Axis:
    """From numbers to a position along `pixels`: linear, or linear in the logarithm."""

    def __init__(self, values: Numbers, log: bool, start: float, end: float) -> None:
        self.log, self.start, self.end = log, start, end
        shown = self.scaled(values[self.shows(values)])
        low, high = (shown.min(), shown.max()) if shown.size else (0.0, 1.0)
        margin = 0.04 * (high - low) or 0.5
        self.low, self.high = float(low - margin), float(high + margin)

    def shows(self, values: Numbers) -> NDArray[np.bool_]:
        return np.isfinite(values) & ((values > 0) | (not self.log))

    def scaled(self, values: Numbers) -> Numbers:
        return np.log10(values) if self.log else values

    def at(self, values: Numbers) -> Numbers:
        share = (self.scaled(values) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers within the axis, and how they are written."""
        if self.log:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            stride = max(1, math.ceil(len(powers) / 7))
            marks = [10.0**p for p in powers if p % stride == 0]
            if len(marks) >= 2:
                return [(m, f"{m:g}") for m in marks]
            return [(10**v, f"{10**v:.2g}") for v in np.linspace(self.low, self.high, 5)[1:-1]]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
        first = math.ceil(self.low / step)
        return [
            (k * step, f"{k * step:.6g}") for k in range(first, math.floor(self.high / step) + 1)
        ]


class _Frame:
    """One panel on the canvas."""

    def __init__(self, canvas: ImageDraw.ImageDraw, corner: tuple[int, int], panel: Panel) -> None:
        self.canvas, self.panel = canvas, panel
        self.left, self.top = corner[0] + LEFT, corner[1] + TOP
        self.right, self.bottom = corner[0] + WIDTH - RIGHT, corner[1] + HEIGHT - BOTTOM
        self.beside = sum(bool(line.label) for line in panel.lines) > MOST_INSIDE
        if self.beside:
            self.right -= BESIDE
        xs = np.concatenate([line.x for line in panel.lines])
        ys = np.concatenate([line.y for line in panel.lines])
        self.x = _Axis(xs, panel.x_log, self.left, self.right)
        self.y = _Axis(ys, panel.y_log, self.bottom, self.top)

    def draw(self) -> None:
        for value, text in self.x.ticks():
            (at,) = self.x.at(np.array([value]))
            self.line([(at, self.top), (at, self.bottom)], FAINT, 1)
            self.text((at, self.bottom + 6), text, "ma")
        for value, text in self.y.ticks():
            (at,) = self.y.at(np.array([value]))
            self.line([(self.left, at), (self.right, at)], FAINT, 1)
            self.text((self.left - 6, at), text, "rm")
        for line, colour in zip(self.panel.lines, cycle(COLOURS), strict=False):
            self.curve(line, colour)
        box = [(self.left, self.top), (self.right, self.top), (self.right, self.bottom)]
        self.line([*box, (self.left, self.bottom), (self.left, self.top)], INK, 1)
        middle = (self.left + self.right) / 2
        self.text((middle, self.top - 8), self.panel.title, "mb", 15)
        self.text((middle, self.bottom + 26), self.panel.x_label, "ma")
        self.text((self.left - LEFT + 4, self.top - 8), self.panel.y_label, "lb")
        self.legend()

    def curve(self, line: Line, colour: str) -> None:
        keep = self.x.shows(line.x) & self.y.shows(line.y)
        points = list(zip(self.x.at(line.x[keep]), self.y.at(line.y[keep]), strict=True))
        if line.joined and len(points) > 1:
            self.line(points, colour, 2)
        for x, y in points if line.dots else []:
            corners = [(x - 3) * SCALE, (y - 3) * SCALE, (x + 3) * SCALE, (y + 3) * SCALE]
            self.canvas.ellipse(corners, fill=colour)

    def legend(self) -> None:
        """Labels below each other: in the emptiest corner of the frame, or beside it if many."""
        coloured = zip(self.panel.lines, cycle(COLOURS), strict=False)
        named = [(line, colour) for line, colour in coloured if line.label]
        right, low = min(((r, b) for r in (True, False) for b in (False, True)), key=self.crowd)
        if self.beside:
            right, low = False, False
        at = self.bottom - 15 * len(named) + 3 if low else self.top + 12
        edge, side = (self.right, -1) if right else (self.left, 1)
        edge = self.right if self.beside else edge
        for line, colour in named:
            self.line([(edge + side * 26, at), (edge + side * 8, at)], colour, 3)
            self.text((edge + side * 32, at), line.label, "rm" if right else "lm")
            at += 15

    def crowd(self, corner: tuple[bool, bool]) -> int:
        """How many points lie in the right or left half, and lower or upper third."""
        right, low = corner
        count = 0
        for line in self.panel.lines:
            keep = self.x.shows(line.x) & self.y.shows(line.y)
            x = (self.x.at(line.x[keep]) - self.left) / (self.right - self.left)
            y = (self.y.at(line.y[keep]) - self.top) / (self.bottom - self.top)
            count += int(np.sum((x > 0.5 if right else x < 0.5) & (y > 0.7 if low else y < 0.3)))
        return count

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: int) -> None:
        scaled = [(float(x) * SCALE, float(y) * SCALE) for x, y in points]
        self.canvas.line(scaled, fill=colour, width=width * SCALE, joint="curve")

    def text(self, at: tuple[float, float], text: str, anchor: str, size: int = 12) -> None:
        place = (float(at[0]) * SCALE, float(at[1]) * SCALE)
        self.canvas.text(place, text, fill=INK, anchor=anchor, font=_font(size * SCALE))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
