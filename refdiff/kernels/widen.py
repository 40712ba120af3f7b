"""float16 to wider formats at the speed of memory, with the same values as NumPy's cast.

Its exponent and fraction, moved to where float32 has them, make a number 2^-112 as large, even a
subnormal one; what float16 calls infinite or no number must be told to float32 anew.
"""

import numpy as np
import numpy.typing as npt

from refdiff.kernels.jit import fixed
from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array

TILE = 1 << 16  # numbers at a time
SCALE = np.float32(2.0**112)
MAGNITUDE, SIGN, ENDLESS = np.uint32(0x7FFF), np.uint32(0x8000), np.uint32(0x7C00)
ALL_ONES = np.uint32(0x7F800000)


def widen(x: Array, dtype: npt.DTypeLike) -> Array:
    """x [*] in float16 -> [*] in float32 or float64"""
    x = np.ascontiguousarray(x)
    y = result(x.shape, dtype)
    source, target = fixed(x.reshape(-1).view(np.uint16)), y.reshape(-1)
    _widen(count(x.size, TILE), source, target, TILE)
    return y


@Tiled
def _widen(x: Array, y: Array, size: int, who: int, tile: int) -> None:
    some, to = x[tile * size : (tile + 1) * size], y[tile * size : (tile + 1) * size]
    for i in range(len(to)):
        bits = np.uint32(some[i])
        moved = np.uint32((bits & MAGNITUDE) << np.uint32(13))
        value = np.float32(moved.view(np.float32) * SCALE)
        made = value.view(np.uint32)
        if (bits & ENDLESS) == ENDLESS:
            made = moved | ALL_ONES
        signed = np.uint32(made | np.uint32((bits & SIGN) << np.uint32(16)))
        to[i] = signed.view(np.float32)
