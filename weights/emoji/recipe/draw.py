"""Drawing a scene: artwork, stilts and hats pasted on a plain background, 64x64 pixels."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from .scenes import Scene
from .subjects import COLOURS, FILES, HAT_FILES

SIDE = 64
OVER = 2  # drawn at twice the size and reduced, so that edges fall between pixels
WOOD, LIGHT_WOOD, DARK_WOOD = (158, 100, 52), (196, 138, 84), (120, 72, 36)
HAT_WIDTH = {"top hat": 0.56, "crown": 0.5}  # of the subject's longer side


@cache
def artwork(file: str) -> Image.Image:
    """The emoji cropped to what is visible."""
    image = Image.open(Path(os.environ["EMOJI_ASSETS"]) / f"{file}.webp").convert("RGBA")
    return image.crop(image.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox())


@cache
def sprite(file: str, pixels: int) -> Image.Image:
    """The emoji with its longer side `pixels` long."""
    image = artwork(file)
    factor = pixels / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


@cache
def head(file: str) -> float:
    """Where a hat sits, 0 left to 1 right: the centre of the topmost seventh of the emoji."""
    alpha = artwork(file).getchannel("A").resize((48, 48), Image.Resampling.BOX)
    columns = [x for y in range(7) for x in range(48) if alpha.getpixel((x, y)) > 100]
    return (sum(columns) / len(columns) + 0.5) / 48 if columns else 0.5


def longer_side(scene: Scene, rng: Random) -> float:
    """How big a subject is drawn, in pixels."""
    if len(scene.subjects) == 2:
        low, high = (25, 27.5) if scene.hat or scene.stilts else (28, 30.5)
    elif scene.size:
        low, high = {"tiny": (22, 25), "big": (60, 64)}[scene.size]
    elif scene.stilts:
        low, high = (27, 29.5) if scene.hat else (33, 36)
    else:
        low, high = (38, 41) if scene.hat else (45, 49)
    return rng.uniform(low, high)


def corner(
    scene: Scene, index: int, width: float, height: float, rng: Random
) -> tuple[float, float]:
    """Left and top of subject `index`, in pixels."""
    jitter = {"tiny": 8.0, "big": 0.5}.get(scene.size or "", 1.5)
    centre = 32.0 if len(scene.subjects) == 1 else (17.0, 47.0)[index]
    left = centre - width / 2 + rng.uniform(-jitter, jitter)
    side = max(width, height)
    if scene.stilts:  # room below for the stilts and above for the hat
        top = 5 + (0.42 * side if scene.hat else 0) + (side - height) / 2
    elif scene.hat and len(scene.subjects) == 1:
        top = 59.5 - height
    else:
        top = 32 - height / 2 + (0.12 * side if scene.hat else 0)
    return left, top + rng.uniform(-jitter, jitter)


def draw_stilts(
    draw: ImageDraw.ImageDraw, left: float, top: float, size: tuple[float, float]
) -> None:
    """Two poles from behind the subject to the ground, with pegs to stand on."""
    width, height = size
    ground, half = 61.5, 1.3

    def box(x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> None:
        draw.rectangle([round(v * OVER) for v in (x0, y0, x1, y1)], fill=colour)

    for side in (-1, 1):
        x = left + width / 2 + side * min(0.26 * width, 10)
        box(x - half, top + height / 2, x + half, ground, WOOD)
        box(x - half, top + height / 2, x - half + 0.6, ground, LIGHT_WOOD)
        reach = x - half + side * 2.6
        peg = top + height + 0.8
        box(min(x - half, reach), peg, max(x + half, reach), peg + 2, DARK_WOOD)


def render(scene: Scene, rng: Random) -> Image.Image:
    """The picture of a scene; rng moves and sizes things a little."""
    spread = 0 if scene.background == "white" else 4
    colour = tuple(
        min(255, max(0, c + rng.randint(-spread, spread))) for c in COLOURS[scene.background]
    )
    canvas = Image.new("RGB", (SIDE * OVER, SIDE * OVER), colour)
    draw = ImageDraw.Draw(canvas)
    for index, subject in enumerate(scene.subjects):
        file, side = FILES[subject], longer_side(scene, rng)
        body = sprite(file, round(side * OVER / 2) * 2)
        width, height = body.width / OVER, body.height / OVER
        left, top = corner(scene, index, width, height, rng)
        if scene.stilts:
            draw_stilts(draw, left, top, (width, height))
        canvas.paste(body, (round(left * OVER), round(top * OVER)), body)
        if scene.hat:
            hat = sprite(HAT_FILES[scene.hat], round(HAT_WIDTH[scene.hat] * side * OVER / 2) * 2)
            middle = left + width * (0.5 + 0.8 * (head(file) - 0.5))
            brim = top + 0.09 * side
            place = (round(middle * OVER - hat.width / 2), round(brim * OVER - hat.height))
            canvas.paste(hat, place, hat)
    return canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
