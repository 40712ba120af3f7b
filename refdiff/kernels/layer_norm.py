"""Layer normalisation, row by row."""

import numpy as np

from refdiff.kernels.jit import fixed
from refdiff.kernels.lanes import ABREAST, deviations, summed
from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count
from refdiff.op import Array

TILE = 1 << 14  # numbers at a time


@Tiled
def _normalise(
    x: Array, gamma: Array, beta: Array, eps: float, y: Array, size: int, who: int, tile: int
) -> None:
    """Some rows. A mean is rounded, and what is lost by that added. x, y [R,D], gamma, beta [D]"""
    D = x.shape[1]
    whole, number = D // ABREAST * ABREAST, x.dtype.type
    for r in range(tile * size, min((tile + 1) * size, len(x))):
        row, out = x[r], y[r]
        most, rest = row[:whole], row[whole:]
        mean = number((deviations(most, number(0))[0] + summed(rest)) / D)
        sums = deviations(most, mean)
        lost, squares = np.float64(sums[0]), np.float64(sums[1])
        for i in range(len(rest)):
            lost += rest[i] - mean
            squares += (rest[i] - mean) * (rest[i] - mean)
        scale = 1 / np.sqrt(max(squares / D - (lost / D) ** 2, 0.0) + eps)
        factor, shift = number(scale), number(-lost / D * scale)
        for i in range(len(out)):
            out[i] = ((row[i] - mean) * factor + shift) * gamma[i] + beta[i]


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """x [*,D] -> [*,D]"""
    x = np.ascontiguousarray(x)
    y, rows = result(x.shape, x.dtype), x.reshape(-1, x.shape[-1])
    size = max(TILE // x.shape[-1], 1)
    parameters = fixed(gamma), fixed(beta), float(eps)
    _normalise(count(len(rows), size), rows, *parameters, y.reshape(rows.shape), size)
    return y
