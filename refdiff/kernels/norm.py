"""Group normalisation: sums of few pixels in the picture's own format, of those in float64."""

import math

import numpy as np

from refdiff.kernels.channels import add_moments, normalise
from refdiff.kernels.jit import fixed, jit
from refdiff.kernels.lanes import fill
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.kernels.scratch import scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import thread_count

TILE = 1 << 18  # numbers at a time
TOGETHER = 32  # pixels whose sums are in the picture's format
APART = 16  # numbers between what threads write
Moments = tuple[Array, Array, Array]


@Tiled
def _moments(
    x: Array,
    size: int,
    room: Array,
    totals: Array,
    counts: Array,
    means: Array,
    spreads: Array,
    who: int,
    tile: int,
) -> None:
    """Of a block of pixels each group's mean, and its sum of squares around that.

    Both from distances to a number near: of a channel to its first, of a group to its first
    channel's mean (Chan, Golub & LeVeque 1983, eq. 1.6).
    x [N,P,C], room, totals [threads,2,C] or wider, counts [B], means, spreads [N,B,G]
    """
    n, block = tile // len(counts), tile % len(counts)
    pixels, C, groups = x[n, block * size :][:size], x.shape[2], means.shape[2]
    P, width, sums, squares = len(pixels), C // groups, totals[who, 0, :C], totals[who, 1, :C]
    fill(sums, 0.0)
    fill(squares, 0.0)
    for first in range(0, P, TOGETHER):
        some = room[who, :, :C]
        fill(some[0], x.dtype.type(0))
        fill(some[1], x.dtype.type(0))
        add_moments(pixels[first : first + TOGETHER], pixels[0], some[0], some[1])
        for c in range(C):
            sums[c] += some[0, c]
            squares[c] += some[1, c]
    counts[block], share = P * width, 1 / P
    for c in range(C):
        apart = sums[c] * share
        squares[c] -= apart * sums[c]
        sums[c] = pixels[0, c] + apart
    for g in range(groups):
        near, apart, spread = sums[g * width], 0.0, 0.0
        for c in range(g * width, (g + 1) * width):
            distance = sums[c] - near
            apart += distance
            spread += squares[c] + P * distance * distance
        means[n, block, g] = near + apart / width
        spreads[n, block, g] = max(spread - P * apart * apart / width, 0.0)


@Tiled
def _normalise(x: Array, terms: Array, y: Array, size: int, who: int, tile: int) -> None:
    """Some pixels of y, the last of a sample first: they were read last, and are still near.

    x, y [N,P,C], terms [3,N,C]
    """
    blocks = -(-x.shape[1] // size)
    n, block = tile // blocks, blocks - 1 - tile % blocks
    some = slice(block * size, (block + 1) * size)
    normalise(x[n, some], terms[0, n], terms[1, n], terms[2, n], y[n, some])


@jit
def _join(
    counts: Array, means: Array, spreads: Array, gamma: Array, beta: Array, eps: float, y: Array
) -> None:
    """counts [B], means, spreads [N,B,G], gamma, beta [C], y [3,N,C]"""
    (N, B, G), width = means.shape, len(gamma) // means.shape[2]
    for n in range(N):
        for g in range(G):
            total, mean, spread = 0.0, 0.0, 0.0
            for b in range(B):
                total += counts[b]
                mean += counts[b] * means[n, b, g]
            mean /= total
            for b in range(B):
                spread += spreads[n, b, g] + counts[b] * (means[n, b, g] - mean) ** 2
            scale, near = 1 / np.sqrt(spread / total + eps), y.dtype.type(mean)
            for c in range(g * width, (g + 1) * width):
                factor = scale * gamma[c]
                y[0, n, c], y[1, n, c] = near, factor
                y[2, n, c] = (near - mean) * factor + beta[c]


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    pixels = flat(x)
    terms = joined(moments_of_blocks(pixels, groups), gamma, beta, eps, x.dtype)
    return by_channel(normalised(pixels, terms).reshape(len(x), *x.shape[2:], -1))


def moments_of_blocks(pixels: Array, groups: int) -> Moments:
    """Of blocks of pixels: how many numbers, each group's mean, its sum of squares around that.

    pixels [N,P,C] -> counts [B], means [N,B,G], spreads [N,B,G]
    """
    (N, P, C), size = pixels.shape, block(pixels.shape[2])
    blocks = count(P, size)
    counts, (means, spreads) = np.empty(blocks), np.empty((2, N, blocks, groups))
    shape = thread_count(), 2, C + APART
    room, totals = scratch("sums", shape, pixels.dtype), scratch("totals", shape, np.float64)
    _moments(N * blocks, pixels, size, room, totals, counts, means, spreads)
    return counts, means, spreads


def joined(moments: Moments, gamma: Array, beta: Array, eps: float, dtype: np.dtype) -> Array:
    """What makes y = (x - mean) factor + shift of the moments of blocks, channel by channel.

    Chan, Golub & LeVeque 1983 (eq. 2.1). The mean is rounded, and what is lost is in the shift.
    gamma, beta [C] -> mean, factor, shift [3,N,C]
    """
    y = np.empty((3, len(moments[1]), len(gamma)), dtype)
    _join(*moments, fixed(gamma), fixed(beta), float(eps), y)
    return y


def normalised(pixels: Array, terms: Array) -> Array:
    """(pixels - mean) factor + shift. pixels [N,P,C], terms [3,N,C] -> [N,P,C]"""
    (N, P, C), y = pixels.shape, np.empty_like(pixels)
    _normalise(N * count(P, block(C)), pixels, terms, y, block(C))
    return y


def flat(x: Array) -> Array:
    """The pixels side by side. x [N,C,*] -> [N,P,C]"""
    N, C, *size = x.shape
    return by_pixel(x).reshape(N, math.prod(size), C)


def block(channels: int) -> int:
    """Pixels of a block."""
    return max(TILE // channels, 1)
