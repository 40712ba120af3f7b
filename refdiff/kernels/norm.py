"""Group normalisation: a sample at once where it stays near, and else all of them in two passes."""

import math

import numpy as np

from refdiff.kernels.channels import normalise
from refdiff.kernels.jit import fixed, jit
from refdiff.kernels.moments import join, measure
from refdiff.kernels.pixels import by_channel, by_pixel, past_caches
from refdiff.kernels.scratch import aligned, scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array
from refdiff.workers import thread_count

TILE = 1 << 19  # numbers of a block: they are still near when they are read again
APART = 16  # numbers between what threads write
Moments = tuple[Array, Array, Array]


@Tiled
def _at_once(
    x: Array,
    groups: int,
    gamma: Array,
    beta: Array,
    eps: float,
    room: Array,
    totals: Array,
    y: Array,
    who: int,
    n: int,
) -> None:
    """A sample of y, of one block. x, y [N,P,C], gamma, beta [C], room and totals as below"""
    P, C = x[n].shape
    counts, means, spreads = totals[who, 2, :1], totals[who, 3:4, :groups], totals[who, 4:, :groups]
    counts[0], terms = P, room[who, 2:, :C]
    measure(x[n], room[who], totals[who], means[0], spreads[0])
    join(counts, means, spreads, gamma, beta, eps, terms)
    normalise(x[n], terms[0], terms[1], terms[2], False, y[n])


@Tiled
def _measure(
    x: Array,
    size: int,
    means: Array,
    spreads: Array,
    room: Array,
    totals: Array,
    who: int,
    tile: int,
) -> None:
    """A block of pixels. x [N,P,C], means, spreads [N,B,G]"""
    n, b = tile // means.shape[1], tile % means.shape[1]
    block = x[n, b * size : (b + 1) * size]
    measure(block, room[who], totals[who], means[n, b], spreads[n, b])


@jit
def _join(
    counts: Array,
    means: Array,
    spreads: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    terms: Array,
) -> None:
    """counts [B], means, spreads [N,B,G], gamma, beta [C], terms [N,3,C]"""
    for n in range(len(terms)):
        join(counts, means[n], spreads[n], gamma, beta, eps, terms[n])


@Tiled
def _normalise(
    x: Array, size: int, terms: Array, past: bool, y: Array, who: int, tile: int
) -> None:
    """A block of y, the last of a sample first: it was read last. x, y [N,P,C], terms [N,3,C]"""
    B = -(-x.shape[1] // size)
    n, b = tile // B, B - 1 - tile % B
    block, to = x[n, b * size : (b + 1) * size], y[n, b * size : (b + 1) * size]
    normalise(block, terms[n, 0], terms[n, 1], terms[n, 2], past, to)


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    pixels = flat(x)
    N, P, C = pixels.shape
    if N % thread_count() or P * C > TILE:
        terms = joined(moments_of_blocks(pixels, groups), gamma, beta, eps, x.dtype)
        y = normalised(pixels, terms)
    else:
        y, parameters = aligned(pixels.shape, x.dtype), (fixed(gamma), fixed(beta), float(eps))
        _at_once(N, pixels, groups, *parameters, *room_for_sums(C, x.dtype), y)
    return by_channel(y.reshape(N, *x.shape[2:], C))


def moments_of_blocks(pixels: Array, groups: int) -> Moments:
    """Of blocks of pixels: how many, each group's mean, its sum of squares around that.

    pixels [N,P,C] -> counts [B], means [N,B,G], spreads [N,B,G]
    """
    N, P, C = pixels.shape
    size, blocks = block(C), count(P, block(C))
    counts, (means, spreads) = np.full(blocks, float(size)), np.empty((2, N, blocks, groups))
    counts[-1] = P - (blocks - 1) * size
    _measure(N * blocks, pixels, size, means, spreads, *room_for_sums(C, pixels.dtype))
    return counts, means, spreads


def joined(moments: Moments, gamma: Array, beta: Array, eps: float, dtype: np.dtype) -> Array:
    """What makes y = (x - mean) factor + shift. gamma, beta [C] -> mean, factor, shift [N,3,C]"""
    terms = np.empty((len(moments[1]), 3, len(gamma)), dtype)
    _join(*moments, fixed(gamma), fixed(beta), float(eps), terms)
    return terms


def normalised(pixels: Array, terms: Array) -> Array:
    """(pixels - mean) factor + shift. pixels [N,P,C], terms [N,3,C] -> [N,P,C]"""
    (N, P, C), y = pixels.shape, aligned(pixels.shape, pixels.dtype)
    _normalise(N * count(P, block(C)), pixels, block(C), terms, past_caches(y), y)
    return y


def flat(x: Array) -> Array:
    """The pixels side by side. x [N,C,*] -> [N,P,C]"""
    N, C, *size = x.shape
    return by_pixel(x).reshape(N, math.prod(size), C)


def block(channels: int) -> int:
    """Pixels of a block."""
    return max(TILE // channels, 1)


def room_for_sums(C: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Of each thread its own: sums, and what else is found in their format. -> [threads,5,C..]"""
    shape = thread_count(), 5, C + APART
    return scratch("sums", shape, dtype), scratch("totals", shape, np.float64)
