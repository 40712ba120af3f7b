"""Group and layer normalisation in three passes over memory; moments are summed in float64."""

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.op import Array


@jit
def moments(x: Array, eps: float) -> tuple[float, float]:
    """The mean of a flat array and 1 / sqrt(variance + eps)."""
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    mean = total / x.size
    square = 0.0
    for i in range(x.size):
        square += (np.float64(x[i]) - mean) ** 2
    return mean, 1.0 / np.sqrt(square / x.size + eps)


@jit
def normalise_groups(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,P] contiguous -> [N,C,P]"""
    N, C, P = x.shape
    y = np.empty_like(x)
    c = C // groups
    for n in range(N):
        for g in range(groups):
            mean, scale = moments(x[n, g * c : (g + 1) * c].ravel(), eps)
            for k in range(g * c, (g + 1) * c):
                for i in range(P):
                    y[n, k, i] = (x[n, k, i] - mean) * scale * gamma[k] + beta[k]
    return y


@jit
def normalise_rows(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """x [R,D] contiguous -> [R,D]"""
    y = np.empty_like(x)
    for r in range(x.shape[0]):
        mean, scale = moments(x[r], eps)
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - mean) * scale * gamma[i] + beta[i]
    return y
