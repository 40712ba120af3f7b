"""The logarithm in float64 as C programs compute it; NumPy's with AVX-512 rounds some otherwise."""

import math

import numpy as np

from .source import Floats


def log(x: Floats) -> Floats:
    """The C library's, number by number: x [*] > 0 -> [*] in float64"""
    return np.fromiter(map(math.log, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
