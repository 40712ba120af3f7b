"""Layer normalisation (Ba et al. 2016, arXiv 1607.06450, eq. 3-4) over the last axis.

    y = gamma (x - mean) / sqrt(var + eps) + beta

The variance is the biased one. Half-precision frameworks compute the moments in float32.
"""

import numpy as np

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Array:
    """Normalise each row, then scale and shift each column.

    x [*,D], gamma [D], beta [D] -> [*,D]
    Raises ShapeError where the widths differ.
    """
    check(x, gamma)
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + eps) * gamma + beta


@layer_norm.kernel
def _(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Array:
    """Two passes for the moments, summed in lanes; one for the result.

    Derived as for group_norm, a row being the group.
    Bound: abs(g) * spread * (4 * γ(n + 8) + 2 * (γ(n) * spread) ** 2) + 4 * u * abs(b)
    """
    check(x, gamma)
    return kernels.layer_norm.layer_norm(x, gamma, beta, eps)


def check(x: Array, gamma: Array) -> None:
    """Raises ShapeError where x has not gamma's width."""
    if x.shape[-1:] != gamma.shape:
        raise ShapeError(f"layer_norm: x {x.shape} has not the width of gamma {gamma.shape}")
