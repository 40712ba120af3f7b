"""Group normalisation: blocks of pixels are measured, then normalised by all that was measured.

SiLU may follow in the same pass.
"""

import math

import numpy as np

from refdiff.kernels.channels import normalise
from refdiff.kernels.crew import crew
from refdiff.kernels.jit import fixed, jit
from refdiff.kernels.laid import in_a_row, like
from refdiff.kernels.moments import join, measure
from refdiff.kernels.pixels import FAR, by_channel, by_pixel, past_caches
from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count, within
from refdiff.op import Array

TILE = 1 << 19  # numbers of a block: they are still near when they are read again


@Tiled
def _measure(x: Array, size: int, moments: Array, who: int, tile: int) -> None:
    """A block of pixels. x [N,P,C], moments [N,B,1+2G]"""
    n, b = tile // moments.shape[1], tile % moments.shape[1]
    measure(x[n, b * size : (b + 1) * size], moments[n, b])


@Tiled
def _normalise(
    x: Array,
    size: int,
    moments: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    active: bool,
    past: bool,
    y: Array,
    who: int,
    tile: int,
) -> None:
    """A block of y, the last of a sample first: it was read last. x, y [N,P,C], gamma, beta [C]"""
    blocks = -(-x.shape[1] // size)
    n, b = tile // blocks, blocks - 1 - tile % blocks
    terms = np.empty((3, x.shape[2]), x.dtype)
    join(moments[n], gamma, beta, eps, terms)
    block, to = x[n, b * size : (b + 1) * size], y[n, b * size : (b + 1) * size]
    normalise(block, terms[0], terms[1], terms[2], active, past, to)


measure_all, normalise_all = within(_measure), within(_normalise)


@jit
def _group_norm(
    crew: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    groups: int,
    eps: float,
    active: bool,
    size: int,
    far: int,
) -> Array:
    """Of x [N,H,W,C] in blocks of so many pixels. gamma, beta [C]"""
    y = like(x)
    some, to = in_a_row(x), in_a_row(y)
    moments = np.empty((len(x), -(-some.shape[1] // size), 1 + 2 * groups), np.float64)
    tiles, past = moments.shape[0] * moments.shape[1], y.nbytes >= far
    measure_all(tiles, crew, some, size, moments)
    normalise_all(tiles, crew, some, size, moments, gamma, beta, eps, active, past, to)
    return y


def group_norm(
    x: Array, gamma: Array, beta: Array, groups: int, eps: float, active: bool = False
) -> Array:
    """x [N,C,*] -> [N,C,*]; active: SiLU of it, in float32."""
    if x.ndim != 4:
        flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]), 1)
        return group_norm(flat, gamma, beta, groups, eps, active).reshape(x.shape)
    tiles, size = len(x) * count(x.size, TILE), block(x.shape[1])
    weights = fixed(gamma), fixed(beta), groups, float(eps)
    y = _group_norm(crew(tiles), by_pixel(x), *weights, active, size, FAR)
    return by_channel(y)


def moments_of_blocks(pixels: Array, groups: int) -> Array:
    """Of blocks of pixels: how many, each group's mean, its sum of squares around that.

    pixels [N,P,C] -> [N,B,1+2G]
    """
    N, P, C = pixels.shape
    moments = np.empty((N, count(P, block(C)), 1 + 2 * groups))
    _measure(N * moments.shape[1], pixels, block(C), moments)
    return moments


def normalised(pixels: Array, moments: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """By the moments of all blocks, not of these pixels alone. pixels [N,P,C] -> [N,P,C]"""
    y, size = result(pixels.shape, pixels.dtype), block(pixels.shape[2])
    tiles, weights = len(pixels) * count(pixels.shape[1], size), (fixed(gamma), fixed(beta))
    _normalise(tiles, pixels, size, moments, *weights, float(eps), False, past_caches(y), y)
    return y


def flat(x: Array) -> Array:
    """The pixels side by side. x [N,C,*] -> [N,P,C]"""
    return by_pixel(x).reshape(len(x), -1, x.shape[1])


def block(channels: int) -> int:
    """Pixels of a block."""
    return max(TILE // channels, 1)
