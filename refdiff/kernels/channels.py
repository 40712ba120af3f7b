"""What a norm does channel by channel, pixel after pixel; pixels [P,C], the others [C]."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from refdiff.kernels.vectors import address, at, elementwise, widened
from refdiff.op import Array

FEW = 4  # pixels that are summed in their own format


def add_pixels(pixels: Array, sums: Array) -> None:
    """sums += each channel's sum. sums in float64"""
    sums += pixels.sum(0, dtype=np.float64)


def add_squares(pixels: Array, middle: Array, sums: Array) -> None:
    """sums += each channel's sum of squares around the middle. sums in float64"""
    sums += np.square(pixels - middle).sum(0, dtype=np.float64)


def normalise(pixels: Array, mean: Array, factor: Array, shift: Array, y: Array) -> None:
    """y <- (pixels - mean) factor + shift. y [P,C]"""
    y[...] = (pixels - mean) * factor + shift


@elementwise
def _add(builder: Any, x: Any, total: Any) -> Any:
    return builder.fadd(total, widened(builder, x, total))


@elementwise
def _add_four(builder: Any, a: Any, b: Any, c: Any, d: Any, total: Any) -> Any:
    four = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
    return builder.fadd(total, widened(builder, four, total))


@elementwise
def _square(builder: Any, middle: Any, x: Any, total: Any) -> Any:
    apart = builder.fsub(x, middle)
    return builder.fadd(total, widened(builder, builder.fmul(apart, apart), total))


@elementwise
def _square_four(builder: Any, middle: Any, a: Any, b: Any, c: Any, d: Any, total: Any) -> Any:
    apart = [builder.fsub(x, middle) for x in (a, b, c, d)]
    a, b, c, d = (builder.fmul(x, x) for x in apart)
    four = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
    return builder.fadd(total, widened(builder, four, total))


@elementwise
def _scale(builder: Any, x: Any, mean: Any, factor: Any, shift: Any, y: Any) -> Any:
    return builder.fadd(builder.fmul(builder.fsub(x, mean), factor), shift)


@overload(add_pixels)
def _added(pixels: Any, sums: Any) -> Callable[..., None]:
    def add_pixels(pixels: Any, sums: Any) -> None:
        step, total, C = pixels.strides[0] // pixels.itemsize, address(sums), len(sums)
        row, whole = address(pixels), len(pixels) // FEW
        for _ in range(whole):
            _add_four(C, row, at(row, step), at(row, 2 * step), at(row, 3 * step), total)
            row = at(row, FEW * step)
        for _ in range(len(pixels) - FEW * whole):
            _add(C, row, total)
            row = at(row, step)

    return add_pixels


@overload(add_squares)
def _squared(pixels: Any, middle: Any, sums: Any) -> Callable[..., None]:
    def add_squares(pixels: Any, middle: Any, sums: Any) -> None:
        step, total, C = pixels.strides[0] // pixels.itemsize, address(sums), len(sums)
        row, whole, m = address(pixels), len(pixels) // FEW, address(middle)
        for _ in range(whole):
            _square_four(C, m, row, at(row, step), at(row, 2 * step), at(row, 3 * step), total)
            row = at(row, FEW * step)
        for _ in range(len(pixels) - FEW * whole):
            _square(C, m, row, total)
            row = at(row, step)

    return add_squares


@overload(normalise)
def _normalised(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> Callable[..., None]:
    def normalise(pixels: Any, mean: Any, factor: Any, shift: Any, y: Any) -> None:
        step, onward = pixels.strides[0] // pixels.itemsize, y.strides[0] // y.itemsize
        row, to, C = address(pixels), address(y), len(mean)
        for _ in range(len(pixels)):
            _scale(C, row, address(mean), address(factor), address(shift), to)
            row, to = at(row, step), at(to, onward)

    return normalise
