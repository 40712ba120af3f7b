"""What a norm does channel by channel; pixels [P,C], the others [C].

Pixel after pixel, as they lie: several at a time are less to compute, and more to wait for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.vectors import address, at, elementwise
from refdiff.op import Array


def add_moments(pixels: Array, middle: Array, sums: Array, squares: Array) -> None:
    """sums and squares += each channel's distances from the middle, and their squares."""
    apart = pixels - middle
    sums += apart.sum(0)
    squares += np.square(apart).sum(0)


def normalise(pixels: Array, mean: Array, factor: Array, shift: Array, y: Array) -> None:
    """y <- (pixels - mean) factor + shift. y [P,C]"""
    y[...] = (pixels - mean) * factor + shift


def copy_rows(pixels: Array, y: Array) -> None:
    """y <- pixels. y [P,C]"""
    y[...] = pixels


@elementwise
def _add(builder: Any, middle: Any, x: Any, total: Any, squares: Any) -> tuple[Any, Any]:
    apart = builder.fsub(x, middle)
    return builder.fadd(total, apart), multiply_add(builder, apart, apart, squares)


@elementwise
def _scale(builder: Any, x: Any, mean: Any, factor: Any, shift: Any, y: Any) -> Any:
    return multiply_add(builder, builder.fsub(x, mean), factor, shift)


@elementwise
def _copy(builder: Any, x: Any, y: Any) -> Any:
    return x


@overload(add_moments)
def _moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> Callable[..., None]:
    def add_moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> None:
        step, row, C = pixels.strides[0] // pixels.itemsize, address(pixels), len(sums)
        for _ in range(len(pixels)):
            _add(C, address(middle), row, address(sums), address(squares))
            row = at(row, step)

    return add_moments


@overload(normalise)
def _normalised(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> Callable[..., None]:
    def normalise(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> None:
        step, onward = pixels.strides[0] // pixels.itemsize, y.strides[0] // y.itemsize
        row, to, C = address(pixels), address(y), len(mean)
        for _ in range(len(pixels)):
            _scale(C, row, address(mean), address(factor), address(shift), to)
            row, to = at(row, step), at(to, onward)

    return normalise


@overload(copy_rows)
def _copied(pixels: Any, y: Any) -> Callable[..., None]:
    def copy_rows(pixels: Any, y: Any) -> None:
        step, onward = pixels.strides[0] // pixels.itemsize, y.strides[0] // y.itemsize
        row, to, C = address(pixels), address(y), pixels.shape[1]
        for _ in range(len(pixels)):
            _copy(C, row, to)
            row, to = at(row, step), at(to, onward)

    return copy_rows
