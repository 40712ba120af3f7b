"""The plot of the card: share of prompts right against guidance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

LINES = {
    "seen": ("pairs seen in training", (40, 110, 220)),
    "held_out": ("pairs never seen", (225, 120, 30)),
    "frogs_on_stilts": ("frogs on stilts (never seen)", (50, 160, 80)),
}
SIZE, LEFT, TOP, RIGHT, BOTTOM = (640, 400), 60, 24, 620, 340
LOWEST = 0.9  # the axis begins here, or the lines could not be told apart
INK, PALE = (50, 50, 55), (215, 215, 220)
FONT = ImageFont.load_default(13)


def plot(facts: dict[str, Any], guidance: list[float], path: Path) -> None:
    """One line for each set of prompts; guidance on a logarithmic axis."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    span = math.log(guidance[-1] / guidance[0])

    def x(g: float) -> float:
        return LEFT + 20 + (RIGHT - LEFT - 40) * math.log(g / guidance[0]) / span

    def y(share: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (max(share, LOWEST) - LOWEST) / (1 - LOWEST)

    for percent in range(round(100 * LOWEST), 101, 2):
        height = y(percent / 100)
        draw.line([(LEFT, height), (RIGHT, height)], fill=PALE)
        draw.text((LEFT - 8, height), f"{percent / 100:.2f}", fill=INK, font=FONT, anchor="rm")
    for g in guidance:
        draw.text((x(g), BOTTOM + 14), f"{g:g}", fill=INK, font=FONT, anchor="mm")
    draw.text((RIGHT, BOTTOM + 34), "guidance", fill=INK, font=FONT, anchor="rm")
    draw.text((LEFT - 50, 10), "prompts with everything right", fill=INK, font=FONT, anchor="lm")
    for i, (name, (label, colour)) in enumerate(LINES.items()):
        points = [(x(g), y(facts[name][f"guidance {g:g}"]["all"])) for g in guidance]
        draw.line(points, fill=colour, width=3)
        for px, py in points:
            draw.ellipse([px - 4, py - 4, px + 4, py + 4], fill=colour)
        draw.text((LEFT + 190 * i, BOTTOM + 50), label, fill=colour, font=FONT, anchor="lm")
    image.save(path)
