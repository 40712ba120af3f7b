"""Functions of float32 numbers rounded once, as PyTorch's are in nearly every bit.

NumPy's own float32 exp and log are up to 3 steps of the last place off, which the differences that
samplers take of them would magnify. float64 arrays pass through unchanged functions.
"""

import numpy as np

from refdiff.diffusion.types import Array


def exp(x: Array) -> Array:
    """e^x in x's precision: x [*] -> [*]"""
    return np.exp(x.astype(np.float64)).astype(x.dtype)


def expm1(x: Array) -> Array:
    """e^x - 1 in x's precision, exact near 0: x [*] -> [*]"""
    return np.expm1(x.astype(np.float64)).astype(x.dtype)


def log(x: Array) -> Array:
    """Natural logarithm in x's precision, -inf at 0: x [*] -> [*]"""
    with np.errstate(divide="ignore"):
        return np.log(x.astype(np.float64)).astype(x.dtype)


def sin(x: Array) -> Array:
    """Sine in x's precision: x [*] -> [*]"""
    return np.sin(x.astype(np.float64)).astype(x.dtype)


def arctan2(y: Array, x: Array) -> Array:
    """Angle of the point (x, y) in x's precision: y [*], x [*] -> [*]"""
    return np.arctan2(y.astype(np.float64), x.astype(np.float64)).astype(x.dtype)


def power(x: Array, p: float) -> Array:
    """x^p in x's precision: x [*] -> [*]"""
    return (x.astype(np.float64) ** p).astype(x.dtype)


def arctan(x: Array) -> Array:
    """The angle of that tangent, in x's precision: x [*] -> [*]"""
    return np.arctan(x.astype(np.float64)).astype(x.dtype)
