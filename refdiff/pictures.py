"""Arrays to pictures, and pictures that say how they were made."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from refdiff.atomic import atomic_write
from refdiff.errors import RefdiffError
from refdiff.op import Array

KEY = "refdiff"  # the PNG text chunk that holds the settings, as JSON
LARGEST_NOTE = 64 << 20  # bytes; more is no note of ours


def to_images(picture: Array) -> list[Image.Image]:
    """Pictures of bytes: picture [N,3,H,W] in -1..1 (clipped) -> N images.

    Levels are rounded to the nearest, ties to even, as diffusers does.
    """
    levels = np.rint((picture / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return [Image.fromarray(image) for image in levels.transpose(0, 2, 3, 1)]


def save_png(image: Image.Image, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Write a PNG with the settings in a text chunk. Raises RefdiffError, leaving no half file."""
    note = PngImagePlugin.PngInfo()
    note.add_itxt(KEY, json.dumps(settings, ensure_ascii=False), zip=True)
    with atomic_write(path) as file:
        image.save(file, "PNG", pnginfo=note)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a picture that `save_png` wrote. Raises RefdiffError where there are none."""
    try:
        with Image.open(Path(path), formats=["PNG"]) as image:
            note = getattr(image, "text", {}).get(KEY)
        settings = json.loads(note) if note and len(note) <= LARGEST_NOTE else None
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, RecursionError) as error:
        raise RefdiffError(f"{path} cannot be read as a PNG picture: {error}") from error
    if not isinstance(settings, dict):
        raise RefdiffError(f"{path} does not say how it was made: give a picture of refdiff's own")
    return settings
