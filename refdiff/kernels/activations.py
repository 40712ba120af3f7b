"""Nonlinearities in one pass over memory."""

from math import erfc, sqrt

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.op import Array

_ROOT_HALF = sqrt(0.5)


@jit
def silu_of(x: Array) -> Array:
    """x / (1 + exp(-x)); x contiguous, any shape."""
    y = np.empty_like(x)
    source, target = x.reshape(-1), y.reshape(-1)
    for i in range(source.size):
        target[i] = source[i] / (1.0 + np.exp(-np.float64(source[i])))
    return y


@jit
def quick_gelu_of(x: Array) -> Array:
    """x / (1 + np.exp(-1.702 x)); x contiguous, any shape."""
    y = np.empty_like(x)
    source, target = x.reshape(-1), y.reshape(-1)
    for i in range(source.size):
        target[i] = source[i] / (1.0 + np.exp(-1.702 * np.float64(source[i])))
    return y


@jit
def gelu_of(x: Array) -> Array:
    """x/2 erfc(-x / sqrt 2); x contiguous, any shape."""
    y = np.empty_like(x)
    source, target = x.reshape(-1), y.reshape(-1)
    for i in range(source.size):
        target[i] = 0.5 * source[i] * erfc(-_ROOT_HALF * np.float64(source[i]))
    return y


@jit
def geglu_of(x: Array) -> Array:
    """a gelu(g) for rows (a, g): x [R,2D] contiguous -> [R,D]"""
    R, D = x.shape[0], x.shape[1] // 2
    y = np.empty((R, D), x.dtype)
    for r in range(R):
        for i in range(D):
            gate = np.float64(x[r, D + i])
            y[r, i] = x[r, i] * (0.5 * gate * erfc(-_ROOT_HALF * gate))
    return y
