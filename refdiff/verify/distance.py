"""How far two tensors of one shape are apart, and a few elements by which to see it early."""

from functools import lru_cache

import numpy as np

from refdiff.op import Array

SAMPLE = 1024  # elements
FLAT = 1e-6  # a spread, relative to the size, below which a tensor is as good as constant


@lru_cache(maxsize=256)
def sample(size: int) -> Array:
    """Flat places of at most SAMPLE elements, the same ones for every tensor of this size."""
    if size <= SAMPLE:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).integers(0, size, SAMPLE))


def relative_error(reference: Array, found: Array) -> float:
    """RMS of the difference over the reference's standard deviation: [*], [*] -> number

    Not over its RMS: a large mean would let any two tensors of one kind look alike. Equal
    infinities and NaN in the same place are no difference; any other is an infinite one.
    """
    if reference.size == 0:
        return 0.0
    wide = np.result_type(reference, found, np.float64)
    with np.errstate(all="ignore"):
        gap = np.abs(np.subtract(found, reference, dtype=wide))
        if not np.isfinite(gap).all():
            both = np.isnan(found) & np.isnan(reference)
            gap = np.where((found == reference) | both, 0, np.where(np.isnan(gap), np.inf, gap))
        return float(np.sqrt(np.mean(gap * gap)) / spread(reference.astype(wide, copy=False)))


def spread(x: Array) -> float:
    """What a difference is measured against: the deviation of the finite values. [*] -> number"""
    x = x[np.isfinite(x)]
    with np.errstate(all="ignore"):
        size = float(np.sqrt(np.mean(np.abs(x) ** 2))) if x.size else 0.0
        return max(float(x.std()), FLAT * size) if size else 1.0
