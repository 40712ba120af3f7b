"""log, sin and cos in float32, bit for bit as PyTorch's AVX2 code and XLA compute them.

The method and the constants are those of Moshier's Cephes library (1984-1992), single precision:
bring the argument near 0, where a polynomial suffices, and undo that afterwards.

    log x           x = 2^e (1 + f) with 1 + f in [√½, √2),
                    log x = e log 2 + f - f²/2 + f³ P(f), and log 2 = 0.693359375 - 2.12...e-4.
    sin θ, cos θ    j = the even number nearest 4θ/π and f = θ - jπ/4, with π/4 subtracted in three
                    parts; sin f = f + f³ S(f²), cos f = 1 - f²/2 + f⁴ C(f²), and j says which of
                    the two it is, and its sign.

The order of the operations, and which products and sums are fused (see fused.py), decide the last
bit. In `log` and `sincos` they are GCC's for PyTorch's x86 releases, in `log_xla` LLVM's for XLA's:
the same on every machine with AVX2 and FMA.

Sources: Cephes, single/logf.c and single/sinf.c; PyTorch 2.13,
aten/src/ATen/native/cpu/avx_mathfun.h; JAX 0.10 on an x86 CPU.
"""

import numpy as np

from .fused import F32, fma, horner

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
    """The natural logarithm of positive normal numbers, as PyTorch has it: x [*] -> [*]."""
    e, f = _split(x)
    square = f * f
    y = fma(horner(LOG_P, f) * f, square, e * LOG_2_LOW) - HALF * square
    return fma(e, LOG_2_HIGH, f + y)


def log_xla(x: F32) -> F32:
    """The natural logarithm of positive normal numbers, as XLA has it: x [*] -> [*]."""
    e, f = _split(x)
    square = f * f
    cube = square * f
    first, second, third = (horner(LOG_P[i : i + 3], f) for i in (0, 3, 6))
    y = fma(fma(fma(first, cube, second), cube, third), cube, e * LOG_2_LOW)
    return fma(e, LOG_2_HIGH, fma(square, -HALF, f) + y)


def _split(x: F32) -> tuple[F32, F32]:
    """e, f with x = 2^e (1 + f) and 1 + f in [√½, √2)."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < np.float32(np.sqrt(0.5))
    return (exponent - small).astype(np.float32), (mantissa - ONE) + np.where(small, mantissa, 0)


def sincos(angle: F32) -> tuple[F32, F32]:
    """Sine and cosine of angles from 0 to 2π: angle [*] -> [*], [*]."""
    octant = (angle * np.float32(4 / np.pi)).astype(np.int32) + 1 & ~1
    f = angle
    for part in PI_4_PARTS:
        f = fma(octant, -np.float32(part), f)
    square = f * f
    sine = fma(horner(SIN_S, square) * square, f, f)
    cosine = fma(horner(COS_C, square) * square, square, -HALF * square) + ONE
    upright = octant & 2 == 0
    sin = np.where(upright, sine, cosine) * np.where(octant & 4, -ONE, ONE)
    cos = np.where(upright, cosine, sine) * np.where(octant + 2 & 4, -ONE, ONE)
    return sin, cos
