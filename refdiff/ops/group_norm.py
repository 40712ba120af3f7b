"""Group normalisation (Wu & He 2018, arXiv 1803.08494, eq. 1-5).

    y = gamma (x - mean) / sqrt(var + eps) + beta,   mean and var over a group's channels and pixels

The variance is the biased one (divided by n). eps is 1e-5 in the U-Net's residual blocks but 1e-6
in the VAE and at the entrance of the U-Net's transformers. Half-precision frameworks compute the
moments in float32.
"""

import numpy as np

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    """Normalise each group of C/groups channels of each sample, then scale and shift each channel.

    x [N,C,*], gamma [C], beta [C] -> [N,C,*]
    Raises ShapeError where the groups do not divide the channels.
    """
    check(x, gamma, groups)
    grouped = x.reshape(len(x), groups, -1)
    centred = grouped - grouped.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    y = (centred / np.sqrt(variance + eps)).reshape(x.shape)
    channel = (-1,) + (1,) * (x.ndim - 2)
    return y * gamma.reshape(channel) + beta.reshape(channel)


@group_norm.kernel
def _(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    """One pass for the moments, of few pixels in the format of x, then in float64; one for y.

    The definition knows a group's mean within γ(n) max|x| and its variance within a factor of
    1 + γ(n); a normalised value is at most 2 spread, with spread = max|x| / sqrt(var + eps).
    Bound: abs(g) * spread * (4 * γ(n + 8) + 2 * (γ(n) * spread) ** 2) + 4 * u * abs(b)
    """
    check(x, gamma, groups)
    return kernels.norm.group_norm(x, gamma, beta, groups, eps)


def check(x: Array, gamma: Array, groups: int) -> None:
    """Raises ShapeError where the channels of x are not those of gamma or do not make groups."""
    if x.ndim < 2 or x.shape[1:2] != gamma.shape or x.shape[1] % groups:
        raise ShapeError(
            f"group_norm: x {x.shape}, gamma {gamma.shape} do not make {groups} groups"
        )
