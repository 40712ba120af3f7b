"""Moments of groups of channels: sums of few pixels in the picture's own format, then float64."""

import numpy as np

from refdiff.kernels.channels import add_moments
from refdiff.kernels.jit import inlined
from refdiff.kernels.lanes import fill
from refdiff.op import Array

TOGETHER = 128  # pixels whose sums are in the picture's format


@inlined
def measure(pixels: Array, moments: Array) -> None:
    """Of a block how many pixels, each group's mean, and its sum of squares around that.

    Both from distances to a number near: of a channel to its first, of a group to its first
    channel's mean (Chan, Golub & LeVeque 1983, eq. 1.6).
    pixels [P,C] -> moments [1+2G]
    """
    (P, C), groups = pixels.shape, len(moments) // 2
    moments[0], means, spreads = P, moments[1 : 1 + groups], moments[1 + groups :]
    width, first = C // groups, pixels[0]
    few, fewer = np.empty(C, pixels.dtype), np.empty(C, pixels.dtype)
    sums, squares = np.empty(C, np.float64), np.empty(C, np.float64)
    fill(sums, 0.0)
    fill(squares, 0.0)
    for start in range(0, P, TOGETHER):
        fill(few, few.dtype.type(0))
        fill(fewer, few.dtype.type(0))
        add_moments(pixels[start : start + TOGETHER], first, few, fewer)
        for c in range(C):
            sums[c] += few[c]
            squares[c] += fewer[c]
    share = 1 / P
    for c in range(C):
        apart = sums[c] * share
        squares[c] -= apart * sums[c]
        sums[c] = first[c] + apart
    for g in range(groups):
        near, apart, spread = sums[g * width], 0.0, 0.0
        for c in range(g * width, (g + 1) * width):
            distance = sums[c] - near
            apart += distance
            spread += squares[c] + P * distance * distance
        means[g] = near + apart / width
        spreads[g] = max(spread - P * apart * apart / width, 0.0)


@inlined
def join(moments: Array, gamma: Array, beta: Array, eps: float, terms: Array) -> None:
    """Blocks of a sample to its terms: y = (x - mean) factor + shift, channel by channel.

    Chan, Golub & LeVeque 1983 (eq. 2.1). The mean is rounded, and what is lost is in the shift.
    moments [B,1+2G], gamma, beta [C] -> mean, factor, shift: terms [3,C]
    """
    G = moments.shape[1] // 2
    width = len(gamma) // G
    for g in range(G):
        total, mean, spread = 0.0, 0.0, 0.0
        for b in range(len(moments)):
            total += moments[b, 0] * width
            mean += moments[b, 0] * width * moments[b, 1 + g]
        mean /= total
        for b in range(len(moments)):
            apart = moments[b, 1 + g] - mean
            spread += moments[b, 1 + G + g] + moments[b, 0] * width * apart**2
        scale, near = 1 / np.sqrt(spread / total + eps), terms.dtype.type(mean)
        for c in range(g * width, (g + 1) * width):
            factor = scale * gamma[c]
            terms[0, c], terms[1, c] = near, factor
            terms[2, c] = (near - mean) * factor + beta[c]
