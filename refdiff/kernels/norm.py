"""Group and layer normalisation; moments are summed in float64."""

import math

import numpy as np

from refdiff.kernels.jit import fixed, inlined, jit
from refdiff.kernels.lanes import LANES, fill, total
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.op import Array
from refdiff.workers import each, parts

TILE = 1 << 16  # numbers at a time


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
    mean = total(sums) / x.size
    fill(sums, 0.0)
    for i in range(0, whole, LANES):
        some = x[i : i + LANES]
        for lane in range(LANES):
            sums[lane] += (np.float64(some[lane]) - mean) ** 2
    for i in range(whole, x.size):
        sums[i - whole] += (np.float64(x[i]) - mean) ** 2
    return mean, 1.0 / np.sqrt(total(sums) / x.size + eps)


@jit
def _moments(x: Array, mean: Array, spread: Array) -> None:
    """Channel by channel the mean, and the sum of squares around it. x [P,C], mean, spread [C]"""
    fill(mean, 0.0)
    fill(spread, 0.0)
    for p in range(len(x)):
        row = x[p]
        for k in range(len(row)):
            mean[k] += np.float64(row[k])
    for k in range(len(mean)):
        mean[k] /= len(x)
    for p in range(len(x)):
        row = x[p]
        for k in range(len(row)):
            spread[k] += (np.float64(row[k]) - mean[k]) ** 2


@jit
def _normalise(x: Array, mean: Array, factor: Array, shift: Array, y: Array) -> None:
    """y = (x - mean) factor + shift, channel by channel. x, y [P,C], the others [C] in float64"""
    for p in range(len(x)):
        row, out = x[p], y[p]
        for k in range(len(row)):
            out[k] = (row[k] - mean[k]) * factor[k] + shift[k]


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
    mean, scale = joined(*moments_of_blocks(x), groups, eps)
    return normalised(x, mean, scale * gamma, beta)


def moments_of_blocks(x: Array) -> tuple[Array, Array, Array]:
    """Of blocks of pixels: how many, each channel's mean, and its sum of squares around that.

    x [N,C,*] -> counts [B,1], means [N,B,C], spreads [N,B,C]
    """
    pixels, blocks = flat(x)
    means, spreads = np.empty((2, len(x), len(blocks), x.shape[1]))
    each(
        lambda t: _moments(pixels[t[0], blocks[t[1]]], means[t], spreads[t]),
        [(n, i) for n in range(len(x)) for i in range(len(blocks))],
    )
    return np.array([[some.stop - some.start] for some in blocks]), means, spreads


def joined(
    counts: Array, means: Array, spreads: Array, groups: int, eps: float
) -> tuple[Array, Array]:
    """Each channel's mean and 1 / sqrt(variance + eps) of its group, from blocks and channels.

    Chan, Golub & LeVeque 1983 (eq. 2.1).
    counts [B,1], means [N,B,C], spreads [N,B,C] -> [N,C], [N,C]
    """
    N, _, C = means.shape
    size = counts.sum() * (C // groups)

    def of_groups(x: Array) -> Array:
        return x.sum(1).reshape(N, groups, -1).sum(2).repeat(C // groups, 1) / size

    mean = of_groups(counts * means)
    variance = of_groups(spreads + counts * (means - mean[:, None]) ** 2)
    return mean, 1 / np.sqrt(variance + eps)


def normalised(x: Array, mean: Array, factor: Array, beta: Array) -> Array:
    """(x - mean) factor + beta. x [N,C,*], mean, factor [N,C], beta [C] -> [N,C,*]"""
    pixels, blocks = flat(x)
    y, shift = np.empty_like(pixels), beta.astype(np.float64)
    each(
        lambda t: _normalise(pixels[t], mean[t[0]], factor[t[0]], shift, y[t]),
        [(n, some) for n in range(len(x)) for some in blocks],
    )
    return by_channel(y.reshape(len(x), *x.shape[2:], -1))


def flat(x: Array) -> tuple[Array, list[slice]]:
    """The pixels side by side, and blocks of them. x [N,C,*] -> [N,P,C]"""
    N, C, *size = x.shape
    pixels = by_pixel(x).reshape(N, math.prod(size), C)
    return pixels, parts(pixels.shape[1], max(TILE // C, 1))


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """x [*,D] -> [*,D]"""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    source, target = (a.reshape(-1, x.shape[-1]) for a in (x, y))
    each(
        lambda part: _normalise_rows(source[part], target[part], fixed(gamma), fixed(beta), eps),
        parts(len(source), max(TILE // x.shape[-1], 1)),
    )
    return y
