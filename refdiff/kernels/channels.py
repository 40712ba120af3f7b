"""What a norm does channel by channel, pixel after pixel; pixels [P,C], the others [C]."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.vectors import address, at, down, elementwise
from refdiff.op import Array

FEW, ROWS = 8, 4  # pixels at a time, where they are read and where written


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
def _add(builder: Any, middle: Any, *others: Any) -> Any:
    *pixels, total, squares = others
    apart = [builder.fsub(x, middle) for x in pixels]
    sums = apart
    while len(sums) > 1:
        sums = [builder.fadd(*pair) for pair in zip(sums[::2], sums[1::2], strict=True)]
    for d in apart:
        squares = multiply_add(builder, d, d, squares)
    return builder.fadd(total, sums[0]), squares


@elementwise
def _scale(builder: Any, mean: Any, factor: Any, shift: Any, *rows: Any) -> Any:
    pixels = rows[: len(rows) // 2]
    apart = [builder.fsub(x, mean) for x in pixels]
    return tuple(multiply_add(builder, d, factor, shift) for d in apart)


@elementwise
def _copy(builder: Any, x: Any, y: Any) -> Any:
    return x


@overload(add_moments)
def _moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> Callable[..., None]:
    def add_moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> None:
        step, C, whole = pixels.strides[0] // pixels.itemsize, len(sums), len(pixels) // FEW
        row, near, to = address(pixels), (address(middle),), (address(sums), address(squares))
        for _ in range(whole):
            _add(C, *(near + down(row, step, FEW) + to))
            row = at(row, FEW * step)
        for _ in range(len(pixels) - FEW * whole):
            _add(C, *(*near, row, *to))
            row = at(row, step)

    return add_moments


@overload(normalise)
def _normalised(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> Callable[..., None]:
    def normalise(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> None:
        step, onward = pixels.strides[0] // pixels.itemsize, y.strides[0] // y.itemsize
        row, to, C, whole = address(pixels), address(y), len(mean), len(pixels) // ROWS
        terms = address(mean), address(factor), address(shift)
        for _ in range(whole):
            _scale(C, *(terms + down(row, step, ROWS) + down(to, onward, ROWS)))
            row, to = at(row, ROWS * step), at(to, ROWS * onward)
        for _ in range(len(pixels) - ROWS * whole):
            _scale(C, *(*terms, row, to))
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
