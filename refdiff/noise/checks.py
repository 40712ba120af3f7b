"""What may stand in front of a draw: a seed, a shape, a dtype; all of them checked before it."""

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ConfigError, ShapeError

MOST_VALUES = 2**31
MOST_AXES = 64  # NumPy's own limit


def checked_seed(seed: int, smallest: int = -(2**63), largest: int = 2**64 - 1) -> int:
    """The seed as a Python integer, or ConfigError if it is none or not in [smallest, largest]."""
    try:
        number = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = None
    if number is None:
        raise ConfigError(f"a seed must be an integer, but got {seed!r:.80}")
    if not smallest <= number <= largest:
        raise ConfigError(
            f"a seed of {number.bit_length()} bits is out of range; "
            f"choose one from {_power(smallest)} to {_power(largest)}"
        )
    return number


def checked_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple, or ShapeError if it is none, too long or of more than 2^31 values."""
    try:
        sizes = tuple(map(operator.index, [shape] if hasattr(shape, "__index__") else shape))
    except TypeError:
        raise ShapeError(f"a shape must be a row of integers, but got {shape!r:.80}") from None
    if len(sizes) > MOST_AXES:
        raise ShapeError(f"a shape of {len(sizes)} axes is too long; {MOST_AXES} is the most")
    count = 1
    for axis, size in enumerate(sizes):
        if not 0 <= size <= MOST_VALUES:
            raise ShapeError(
                f"axis {axis} of the shape is {'negative' if size < 0 else 'above 2^31'}; "
                "sizes are from 0 to 2^31"
            )
        count *= size
    if count > MOST_VALUES:
        raise ShapeError(f"the shape {sizes!r:.80} has more than 2^31 values; draw less at a time")
    return sizes


def checked_dtype(dtype: DTypeLike, known: tuple[str, ...]) -> str:
    """The dtype's name, or ConfigError if it is not one of the known."""
    try:
        # NumPy itself has no bfloat16; the packages that add one give it this name.
        name = dtype if dtype == "bfloat16" else str(np.dtype(dtype))
    except (TypeError, ValueError, SyntaxError):
        name = None
    if name not in known:
        names = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ConfigError(f"noise is drawn here in {names}, but got the dtype {dtype!r:.80}")
    return str(name)


def _power(bound: int) -> str:
    """A bound of a seed, written as a reader knows it: -2^63, 0, 2^64 - 1."""
    if abs(bound) < 2**16:
        return str(bound)
    bits = (abs(bound) + 1).bit_length() - 1
    return f"-2^{bits}" if bound < 0 else f"2^{bits} - 1"
