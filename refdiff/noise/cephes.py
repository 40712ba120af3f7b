"""log, sin and cos in float32, bit for bit as PyTorch's AVX2 code computes them.

The method and the constants are those of Moshier's Cephes library (1984-1992), single precision:
bring the argument near 0, where a polynomial suffices, and undo that afterwards.

    log x           x = 2^e (1 + f) with 1 + f in [√½, √2),
                    log x = e log 2 + f - f²/2 + f³ P(f), and log 2 = 0.693359375 - 2.12...e-4.
    sin θ, cos θ    j = the even number nearest 4θ/π and f = θ - jπ/4, with π/4 subtracted in three
                    parts; sin f = f + f³ S(f²), cos f = 1 - f²/2 + f⁴ C(f²), and j says which of
                    the two it is, and its sign.

Where the machine fuses a product and a sum into one rounding, the last bit depends on it, so each
such pair is an `_fma` here. Which pairs they are is the compiler's choice: these are GCC's for
PyTorch's x86 releases, the same on every machine with AVX2.

Sources: Cephes, single/logf.c and single/sinf.c; PyTorch 2.13,
aten/src/ATen/native/cpu/avx_mathfun.h.
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

LOG_P = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
LOG_2_HIGH, LOG_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
SIN_S = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS_C = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
PI_4_PARTS = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)
HALF, ONE = np.float32(0.5), np.float32(1)


def log(x: F32) -> F32:
    """The natural logarithm of positive normal numbers: x [*] -> [*]."""
    f, e = np.frexp(x)
    small = f < np.float32(np.sqrt(0.5))
    exponent = (e - small).astype(np.float32)
    f = (f - ONE) + np.where(small, f, 0)
    square = f * f
    y = _fma(_horner(LOG_P, f) * f, square, exponent * LOG_2_LOW) - HALF * square
    return _fma(exponent, LOG_2_HIGH, f + y)


def sincos(angle: F32) -> tuple[F32, F32]:
    """Sine and cosine of angles from 0 to 2π: angle [*] -> [*], [*]."""
    octant = (angle * np.float32(4 / np.pi)).astype(np.int32) + 1 & ~1
    f = angle
    for part in PI_4_PARTS:
        f = _fma(octant, -np.float32(part), f)
    square = f * f
    sine = _fma(_horner(SIN_S, square) * square, f, f)
    cosine = _fma(_horner(COS_C, square) * square, square, -HALF * square) + ONE
    upright = octant & 2 == 0
    sin = np.where(upright, sine, cosine) * np.where(octant & 4, -ONE, ONE)
    cos = np.where(upright, cosine, sine) * np.where(octant + 2 & 4, -ONE, ONE)
    return sin, cos


def _horner(coefficients: tuple[float, ...], x: F32) -> F32:
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = _fma(y, x, np.float32(coefficient))
    return y


def _fma(a: NDArray[np.generic], b: F32 | np.float32, c: F32 | np.float32) -> F32:
    """a b + c in float32, rounded once.

    The product is exact in float64. The sum is rounded there and again on the way down, which is
    another number than one rounding gives only next to a tie: of all 2^24 arguments that a uniform
    can make, at none.
    """
    return (a.astype(np.float64) * b + c).astype(np.float32)
