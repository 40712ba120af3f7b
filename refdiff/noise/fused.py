"""a b + c with one rounding: what the float32 code of other programs is made of.

Compilers fuse a product and the sum that it goes into, and the last bit of the result depends on
it. Which products are fused is the compiler's choice, and then the same in every copy of a release.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def fma(a: NDArray[Any], b: F32 | np.float32, c: F32 | np.float32) -> F32:
    """a b + c in float32, rounded once: [*], [*], [*] -> [*].

    The product is exact in float64. The sum is rounded there and again on the way down, which is
    another number than one rounding gives only where the first ends on a tie of the second. With
    the arguments that float32 uniforms give log, sin, cos and erf⁻¹, it never does.
    """
    return (a.astype(np.float64) * b + c).astype(np.float32)


def horner(coefficients: Sequence[float], x: F32) -> F32:
    """The polynomial with these coefficients, highest power first, fused: x [*] -> [*]."""
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = fma(y, x, np.float32(coefficient))
    return y
