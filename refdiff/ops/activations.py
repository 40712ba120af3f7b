"""The element-wise nonlinearities of the field, and the gate made of one.

    silu(x)       = x sigma(x)                                     Elfwing et al. 2017, 1702.03118
    gelu(x)       = x Phi(x) = x/2 (1 + erf(x / sqrt 2))           Hendrycks & Gimpel, 1606.08415
    gelu_tanh(x)  = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))  ibid.
    quick_gelu(x) = x sigma(1.702 x)                               ibid.; OpenAI's CLIP uses it
    geglu(a, g)   = a gelu(g)                                      Shazeer 2020, 2002.05202, eq. 6

gelu and gelu_tanh differ by up to 4.7e-4, gelu and quick_gelu by up to 2.0e-2: a classic mix-up.
"""

import numpy as np
import scipy

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


def sigma(x: Array) -> Array:
    """The logistic function. x [*] -> [*]"""
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is the right answer
        return 1 / (1 + np.exp(-x))


@op
def silu(x: Array) -> Array:
    """x sigma(x). x [*] -> [*]"""
    return x * sigma(x)


@op
def gelu(x: Array) -> Array:
    """x Phi(x), Phi the normal distribution function: the exact one. x [*] -> [*]"""
    return x * scipy.special.ndtr(x).astype(x.dtype, copy=False)


@op
def gelu_tanh(x: Array) -> Array:
    """The tanh approximation of gelu. x [*] -> [*]"""
    return 0.5 * x * (1 + np.tanh(float(np.sqrt(2 / np.pi)) * x * (1 + 0.044715 * x * x)))


@op
def quick_gelu(x: Array) -> Array:
    """x sigma(1.702 x). x [*] -> [*]"""
    return x * sigma(1.702 * x)


@op
def geglu(x: Array) -> Array:
    """The first half of the last axis, gated by gelu of the second. x [*,2D] -> [*,D]

    Raises ShapeError for an odd width.
    """
    if x.shape[-1] % 2:
        raise ShapeError(f"geglu: the width of x {x.shape} is odd")
    value, gate = np.split(x, 2, axis=-1)
    return value * gelu(gate)


@silu.kernel
def _(x: Array) -> Array:
    """One pass.

    Each face rounds the exponential, the quotient and the product; a sigma(x) below the smallest
    normal number may be lost.
    Bound: 16 * u * abs(y) + tiny * (1 + abs(x))
    """
    return kernels.activations.silu(x)


@gelu.kernel
def _(x: Array) -> Array:
    """One pass, through erfc, whose argument's rounding grows with x^2 in the far tail.

    Bound: (16 + 4 * x * x) * u * abs(y) + tiny * (1 + abs(x))
    """
    return kernels.activations.gelu(x)


@quick_gelu.kernel
def _(x: Array) -> Array:
    """One pass; the rounding of 1.702 x grows with x in the exponential.

    Bound: (16 + 4 * abs(x)) * u * abs(y) + tiny * (1 + abs(x))
    """
    return kernels.activations.quick_gelu(x)


@geglu.kernel
def _(x: Array) -> Array:
    """One pass over both halves, gelu as above.

    Bound: (18 + 4 * gate**2) * u * abs(y) + tiny * (1 + abs(gate)) * (1 + abs(value))
    """
    if x.shape[-1] % 2:
        raise ShapeError(f"geglu: the width of x {x.shape} is odd")
    return kernels.activations.geglu(x)
