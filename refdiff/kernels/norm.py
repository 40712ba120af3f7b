"""Group and layer normalisation in three passes over memory; moments are summed in float64."""

import math

import numpy as np

from refdiff.kernels.jit import inlined, jit
from refdiff.op import Array
from refdiff.workers import each, parts

TILE = 1 << 16  # numbers at a time
LANES = 16


@inlined
def moments(x: Array, eps: float) -> tuple[float, float]:
    """The mean of a flat array and 1 / sqrt(variance + eps), each summed in lanes."""
    sums, whole = np.zeros(LANES), x.size - x.size % LANES
    for i in range(0, whole, LANES):
        for lane in range(LANES):
            sums[lane] += np.float64(x[i + lane])
    for i in range(whole, x.size):
        sums[i - whole] += np.float64(x[i])
    mean = sums.sum() / x.size
    sums[:] = 0
    for i in range(0, whole, LANES):
        for lane in range(LANES):
            sums[lane] += (np.float64(x[i + lane]) - mean) ** 2
    for i in range(whole, x.size):
        sums[i - whole] += (np.float64(x[i]) - mean) ** 2
    return mean, 1.0 / np.sqrt(sums.sum() / x.size + eps)


@jit
def _normalise(x: Array, y: Array, gamma: Array, beta: Array, first: int, eps: float) -> None:
    """Groups `first` and on of all samples' groups: x, y [M,c,P], gamma, beta [groups,c]"""
    for m in range(x.shape[0]):
        mean, scale = moments(x[m].ravel(), eps)
        g = (first + m) % len(gamma)
        for k in range(x.shape[1]):
            factor, shift = scale * gamma[g, k], np.float64(beta[g, k])
            for i in range(x.shape[2]):
                y[m, k, i] = (x[m, k, i] - mean) * factor + shift


@jit
def _normalise_rows(x: Array, y: Array, gamma: Array, beta: Array, eps: float) -> None:
    """x, y [R,D], gamma, beta [D]"""
    for r in range(x.shape[0]):
        mean, scale = moments(x[r], eps)
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - mean) * scale * gamma[i] + beta[i]


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    shape = (len(x) * groups, x.shape[1] // groups, math.prod(x.shape[2:]))
    source, target = x.reshape(shape), y.reshape(shape)
    gamma, beta = gamma.reshape(groups, -1), beta.reshape(groups, -1)
    each(
        lambda part: _normalise(source[part], target[part], gamma, beta, part.start, eps),
        parts(shape[0], max(TILE // max(math.prod(shape[1:]), 1), 1)),
    )
    return y


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """x [*,D] -> [*,D]"""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    source, target = (a.reshape(-1, x.shape[-1]) for a in (x, y))
    each(
        lambda part: _normalise_rows(source[part], target[part], gamma, beta, eps),
        parts(len(source), max(TILE // x.shape[-1], 1)),
    )
    return y
