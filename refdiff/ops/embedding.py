"""Rows of a table by number, and the sinusoidal embedding of a time."""

import numpy as np

from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def embedding(ids: Array, table: Array) -> Array:
    """The rows of `table` that `ids` name. ids [*], table [V,D] -> [*,D]

    Raises ShapeError for a number outside of 0..V-1.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() < len(table):
        raise ShapeError(f"embedding: ids {ids.min()}..{ids.max()} outside of 0..{len(table) - 1}")
    return table[ids]


@op
def timestep_embedding(
    t: Array,
    width: int,
    *,
    flip_sin_to_cos: bool = True,
    freq_shift: float = 0.0,
    max_period: float = 10000.0,
) -> Array:
    """Cosines and sines of t at width/2 frequencies, falling geometrically from 1 to 1/max_period.

    f_i = max_period^(-i / (width/2 - freq_shift)),   [cos(t f), sin(t f)]
    t [N] -> [N,width]
    Sines first unless flip_sin_to_cos; an odd width ends with a zero. Ho et al. 2020 (arXiv
    2006.11239) after Vaswani et al. 2017, §3.5. Always computed in float64. Frameworks compute
    t f in float32, whose rounding alone moves the phase by up to 9e-5 at t = 999.
    Raises ShapeError for fewer than freq_shift frequencies.
    """
    half = width // 2
    if half <= freq_shift:
        raise ShapeError(f"timestep_embedding: width {width} is too small for shift {freq_shift:g}")
    frequency = np.exp(-np.log(max_period) * np.arange(half) / (half - freq_shift))
    phase = np.asarray(t, np.float64)[:, None] * frequency
    waves = (np.cos(phase), np.sin(phase)) if flip_sin_to_cos else (np.sin(phase), np.cos(phase))
    return np.pad(np.concatenate(waves, axis=-1), ((0, 0), (0, width % 2)))
