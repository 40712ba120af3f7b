"""What a number costs to be transformed, in operations of a product: what Winograd is chosen by.

A tile of 4x4 pixels takes 288 operations for a pair of channels where products are plain, 72 and
the transforms of 36 numbers a channel on both sides where they are not. So Winograd pays for C
channels and O filters where

    (288 - 72) C O > 36 price (C + O)

The price is of a machine: `refdiff bench --calibrate` measures it and keeps it beside the machine
code. Where it was not measured it is taken to be USUAL.
"""

import json
import math
from functools import cache
from itertools import count
from pathlib import Path

from llvmlite import binding

from refdiff.atomic import atomic_write
from refdiff.kernels.kept import folder
from refdiff.kernels.panels import LANES

USUAL = 40.0
LEAST, MOST = 1.0, 10_000.0  # what is not between them was not measured


def path() -> Path | None:
    """Where the price is kept; None where nothing can be."""
    place = folder()
    return None if place is None else place.parent / "machine.json"


@cache
def price() -> float:
    """The price measured on this processor, or the usual one."""
    place = path()
    try:
        kept = json.loads(place.read_bytes()[:1000])[processor()] if place else USUAL
    except (OSError, ValueError, KeyError, TypeError):
        return USUAL
    fits = isinstance(kept, float) and math.isfinite(kept) and LEAST <= kept <= MOST
    return kept if fits else USUAL


def processor() -> str:
    """What the price is of; a home may be several machines'."""
    return f"price on {binding.get_host_cpu_name()}"


def keep(value: float) -> Path | None:
    """Keep a price for processes to come; None where nothing can be kept."""
    place = path()
    if place is not None:
        with atomic_write(place) as file:
            file.write(json.dumps({processor(): min(max(value, LEAST), MOST)}).encode())
        price.cache_clear()
    return place


def winograd_pays(channels: int, filters: int) -> bool:
    """Whether the products saved are worth the transforms; filters fill whole vectors."""
    filters = -(-filters // LANES) * LANES
    return 216 * channels * filters > 36 * price() * (channels + filters)


def told() -> str:
    """The price in words."""
    least = next(c for c in count(1) if winograd_pays(c, c))
    return (
        f"a number transformed costs as much as {price():.0f} operations of a product: 3x3 "
        f"convolutions of as many channels as filters are by Winograd from {least} on"
    )
