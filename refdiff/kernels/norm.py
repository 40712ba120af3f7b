"""Group and layer normalisation in three passes over memory; moments are summed in float64."""

import math

import numpy as np

from refdiff.kernels.jit import inlined, jit
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.op import Array
from refdiff.workers import each, parts

TILE = 1 << 16  # numbers at a time
LANES = 64
VECTORS = 16
WIDTH = 64  # channels, at least, of a tile of group normalisation


@inlined
def moments(x: Array, eps: float) -> tuple[float, float]:
    """The mean of a flat array and 1 / sqrt(variance + eps), each summed in lanes."""
    sums, whole = np.zeros(LANES), x.size - x.size % LANES
    for i in range(0, whole, LANES):
        some = x[i : i + LANES]
        for lane in range(LANES):
            sums[lane] += np.float64(some[lane])
    for i in range(whole, x.size):
        sums[i - whole] += np.float64(x[i])
    mean = sums.sum() / x.size
    sums[:] = 0
    for i in range(0, whole, LANES):
        some = x[i : i + LANES]
        for lane in range(LANES):
            sums[lane] += (np.float64(some[lane]) - mean) ** 2
    for i in range(whole, x.size):
        sums[i - whole] += (np.float64(x[i]) - mean) ** 2
    return mean, 1.0 / np.sqrt(sums.sum() / x.size + eps)


@jit
def _normalise(
    x: Array, y: Array, gamma: Array, beta: Array, first: int, groups: int, eps: float
) -> None:
    """So many groups of channels, `first` and on. x, y [P,C], gamma, beta [c groups]"""
    P, channels = len(x), len(gamma)
    start, c = first, channels // groups
    mean, scale, sums = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    for p in range(P):
        row = x[p, start : start + channels]
        for k in range(channels):
            sums[k] += np.float64(row[k])
    for g in range(groups):
        mean[c * g : c * (g + 1)] = sums[c * g : c * (g + 1)].sum() / (P * c)
    sums[:] = 0
    for p in range(P):
        row = x[p, start : start + channels]
        for k in range(channels):
            sums[k] += (np.float64(row[k]) - mean[k]) ** 2
    for g in range(groups):
        variance = sums[c * g : c * (g + 1)].sum() / (P * c)
        scale[c * g : c * (g + 1)] = 1.0 / np.sqrt(variance + eps)
    for k in range(channels):
        scale[k] *= gamma[k]
        sums[k] = beta[k]
    for p in range(P):
        row, out = x[p, start : start + channels], y[p, start : start + channels]
        for k in range(channels):
            out[k] = (row[k] - mean[k]) * scale[k] + sums[k]


@jit
def _normalise_rows(x: Array, y: Array, gamma: Array, beta: Array, eps: float) -> None:
    """x, y [R,D], gamma, beta [D]"""
    for r in range(x.shape[0]):
        row, out = x[r], y[r]
        mean, scale = moments(row, eps)
        for i in range(len(row)):
            out[i] = (row[i] - mean) * scale * gamma[i] + beta[i]


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    pixels = by_pixel(x)
    y, C, P = np.empty_like(pixels), x.shape[1], math.prod(x.shape[2:])
    source, target = pixels.reshape(len(x), P, C), y.reshape(len(x), P, C)
    c = C // groups
    even = math.lcm(c, VECTORS) // c  # groups that fill whole vectors
    share = even * max(WIDTH // (even * c), TILE // max(P * even * c, 1), 1)

    def work(tile: tuple[int, slice]) -> None:
        n, some = tile
        part, count = slice(c * some.start, c * some.stop), some.stop - some.start
        _normalise(source[n], target[n], gamma[part], beta[part], part.start, count, eps)

    each(work, [(n, some) for n in range(len(x)) for some in parts(groups, share)])
    return by_channel(y)


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
