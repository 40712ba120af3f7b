"""The precision that an array really has, read from its bits: a dump may be wider than its numbers.

An array was held in a format if every element is a number of it. By chance a float32 number is one
of float16 or tf32 in 1 case of 2^13, of bfloat16 in 1 of 2^16; `TELLING` different ones never are.
Numbers of few bits (zeros, halves, masks) are in every format and tell nothing. float16 and tf32
have the same eleven bits: only numbers beyond float16's range tell them apart.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refdiff.op import Array
from refdiff.verify.formats import FORMATS, Format

NARROW_FIRST = ("bfloat16", "float16", "tf32", "float32", "float64")
TELLING = 8  # different numbers that it takes
PART = 1 << 18


def effective(x: Array) -> str | None:
    """The narrowest format that holds every element; "integer" for whole numbers. x [*]

    None where too few elements tell formats apart. Elements that are not finite are passed over.
    """
    if x.dtype.kind in "iub":
        return "integer"
    x = x[np.isfinite(x)]
    sample = x[:: 1 + x.size // PART]
    if everywhere(whole, x):
        return "integer" if np.unique(sample).size >= TELLING else None
    if np.unique(sample[~plain(sample)]).size < TELLING:
        return None
    return next(name for name in NARROW_FIRST if everywhere(partial(held, FORMATS[name]), x))


def narrowed(x: Array, declared: str | None = None) -> str | None:
    """A warning where x has the bits of a narrower format than its dtype, or than `declared`."""
    declared, found = declared or x.dtype.name, effective(x)
    if declared not in FORMATS or found not in FORMATS:
        return None
    if FORMATS[found].precision >= FORMATS[declared].precision:
        return None
    return f"called {declared}, but all numbers are those of {found}: it was stored as that before"


def everywhere(holds: Callable[[Array], Array], x: Array) -> bool:
    """Whether it holds for each element of a flat array; stops at the first part where not."""
    parts = (x[start : start + PART] for start in range(0, x.size, PART))
    return all(holds(part).all() for part in parts)


def held(format: Format, x: Array) -> Array:
    return format.nearest(x) == x


def whole(x: Array) -> Array:
    return np.rint(x) == x


def plain(x: Array) -> Array:
    """Whether four bits are enough."""
    mantissa = np.frexp(x)[0] * 16
    return np.rint(mantissa) == mantissa
