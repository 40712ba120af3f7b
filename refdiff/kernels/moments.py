"""Moments of groups of channels: sums of few pixels in the picture's own format, then float64."""

import numpy as np

from refdiff.kernels.channels import add_moments
from refdiff.kernels.jit import inlined
from refdiff.kernels.lanes import fill
from refdiff.op import Array

TOGETHER = 128  # pixels whose sums are in the picture's format


@inlined
def measure(pixels: Array, room: Array, totals: Array, means: Array, spreads: Array) -> None:
    """Of a block each group's mean, and its sum of squares around that.

    Both from distances to a number near: of a channel to its first, of a group to its first
    channel's mean (Chan, Golub & LeVeque 1983, eq. 1.6).
    pixels [P,C], room, totals [2,C] or wider, means, spreads [G]
    """
    (P, C), groups = pixels.shape, len(means)
    some, sums, squares, width = room[:, :C], totals[0, :C], totals[1, :C], C // groups
    fill(sums, 0.0)
    fill(squares, 0.0)
    for first in range(0, P, TOGETHER):
        fill(some[0], some.dtype.type(0))
        fill(some[1], some.dtype.type(0))
        add_moments(pixels[first : first + TOGETHER], pixels[0], some[0], some[1])
        for c in range(C):
            sums[c] += some[0, c]
            squares[c] += some[1, c]
    share = 1 / P
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
        means[g] = near + apart / width
        spreads[g] = max(spread - P * apart * apart / width, 0.0)


@inlined
def join(
    counts: Array, means: Array, spreads: Array, gamma: Array, beta: Array, eps: float, terms: Array
) -> None:
    """Blocks of a sample to its terms: y = (x - mean) factor + shift, channel by channel.

    Chan, Golub & LeVeque 1983 (eq. 2.1). The mean is rounded, and what is lost is in the shift.
    counts [B], means, spreads [B,G], gamma, beta [C] -> mean, factor, shift: terms [3,C]
    """
    (B, G), width = means.shape, len(gamma) // means.shape[1]
    for g in range(G):
        total, mean, spread = 0.0, 0.0, 0.0
        for b in range(B):
            total += counts[b] * width
            mean += counts[b] * width * means[b, g]
        mean /= total
        for b in range(B):
            spread += spreads[b, g] + counts[b] * width * (means[b, g] - mean) ** 2
        scale, near = 1 / np.sqrt(spread / total + eps), terms.dtype.type(mean)
        for c in range(g * width, (g + 1) * width):
            factor = scale * gamma[c]
            terms[0, c], terms[1, c] = near, factor
            terms[2, c] = (near - mean) * factor + beta[c]
