"""Group normalisation: sums of few pixels in the picture's own format, of those in float64."""

import math

import numpy as np

from refdiff.kernels.channels import add_pixels, add_squares, normalise
from refdiff.kernels.jit import jit
from refdiff.kernels.lanes import fill
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.kernels.scratch import scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import thread_count

TILE = 1 << 17  # numbers at a time
APART = 32  # numbers between what threads write


@Tiled
def _moments(
    x: Array, size: int, room: Array, means: Array, spreads: Array, who: int, tile: int
) -> None:
    """Of a block of pixels each channel's mean, and its sum of squares around that.

    x [N,P,C], room [threads,C] or wider, means, spreads [N,B,C]
    """
    n, block = tile // means.shape[1], tile % means.shape[1]
    mean, spread, middle = means[n, block], spreads[n, block], room[who, : x.shape[2]]
    pixels = x[n, block * size : (block + 1) * size]
    fill(mean, 0.0)
    add_pixels(pixels, mean)
    share = 1 / len(pixels)
    for c in range(len(mean)):
        mean[c] *= share
        middle[c] = mean[c]
    fill(spread, 0.0)
    add_squares(pixels, middle, spread)
    for c in range(len(mean)):
        spread[c] = max(spread[c] - len(pixels) * (middle[c] - mean[c]) ** 2, 0.0)


@Tiled
def _normalise(
    x: Array, mean: Array, factor: Array, shift: Array, y: Array, size: int, who: int, tile: int
) -> None:
    """Some pixels of y. x, y [N,P,C], the others [N,C]"""
    blocks = -(-x.shape[1] // size)
    n, some = tile // blocks, slice(tile % blocks * size, (tile % blocks + 1) * size)
    normalise(x[n, some], mean[n], factor[n], shift[n], y[n, some])


@jit
def _join(
    counts: Array, means: Array, spreads: Array, groups: int, eps: float
) -> tuple[Array, Array]:
    """counts [B], means, spreads [N,B,C]"""
    N, B, C = means.shape
    middles, scales, width = np.empty((N, C)), np.empty((N, C)), C // groups
    for n in range(N):
        for g in range(groups):
            channels = range(g * width, (g + 1) * width)
            total, mean, spread = 0.0, 0.0, 0.0
            for b in range(B):
                for c in channels:
                    total += counts[b]
                    mean += counts[b] * means[n, b, c]
            mean /= total
            for b in range(B):
                for c in channels:
                    spread += spreads[n, b, c] + counts[b] * (means[n, b, c] - mean) ** 2
            for c in channels:
                middles[n, c], scales[n, c] = mean, 1 / np.sqrt(spread / total + eps)
    return middles, scales


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    mean, scale = joined(*moments_of_blocks(x), groups, eps)
    return normalised(x, mean, scale * gamma, beta)


def moments_of_blocks(x: Array) -> tuple[Array, Array, Array]:
    """Of blocks of pixels: how many, each channel's mean, and its sum of squares around that.

    x [N,C,*] -> counts [B], means [N,B,C], spreads [N,B,C]
    """
    pixels, size = flat(x), block(x.shape[1])
    N, P, C = pixels.shape
    counts = np.minimum(size, P - np.arange(0, P, size))
    means, spreads = np.empty((2, N, len(counts), C))
    room = scratch("moments", (thread_count(), C + APART), x.dtype)
    _moments(N * len(counts), pixels, size, room, means, spreads)
    return counts, means, spreads


def joined(
    counts: Array, means: Array, spreads: Array, groups: int, eps: float
) -> tuple[Array, Array]:
    """Each channel's mean and 1 / sqrt(variance + eps) of its group, from blocks and channels.

    Chan, Golub & LeVeque 1983 (eq. 2.1).
    counts [B], means [N,B,C], spreads [N,B,C] -> [N,C], [N,C]
    """
    return _join(counts, means, spreads, groups, float(eps))


def normalised(x: Array, mean: Array, factor: Array, beta: Array) -> Array:
    """(x - mean) factor + beta. x [N,C,*], mean, factor [N,C], beta [C] -> [N,C,*]

    In the format of x a mean is rounded: what is lost comes back with beta.
    """
    pixels, size = flat(x), block(x.shape[1])
    y, middle = np.empty_like(pixels), mean.astype(x.dtype)
    shift = ((middle - mean) * factor + beta).astype(x.dtype)
    tiles = len(x) * count(pixels.shape[1], size)
    _normalise(tiles, pixels, middle, factor.astype(x.dtype), shift, y, size)
    return by_channel(y.reshape(len(x), *x.shape[2:], -1))


def flat(x: Array) -> Array:
    """The pixels side by side. x [N,C,*] -> [N,P,C]"""
    N, C, *size = x.shape
    return by_pixel(x).reshape(N, math.prod(size), C)


def block(channels: int) -> int:
    """Pixels of a block."""
    return max(TILE // channels, 1)
