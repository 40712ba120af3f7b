"""What is done channel by channel; pixels [P,C], the others [C].

Sums take several pixels at a time, and stay in registers; the next ones are brought near meanwhile.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from refdiff.kernels.exponential import sigma_emitted
from refdiff.kernels.fma import multiply_add
from refdiff.kernels.jit import inlined
from refdiff.kernels.panels import INT
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.scratch import LINE
from refdiff.kernels.vectors import address, at, fetch, in_vectors, rowwise, vector
from refdiff.op import Array

ROWS = 8  # pixels at a time
PART = 64  # channels at a time


def add_moments(pixels: Array, middle: Array, sums: Array, squares: Array) -> None:
    """sums and squares += each channel's distances from the middle, and their squares."""
    apart = pixels - middle
    sums += apart.sum(0)
    squares += np.square(apart).sum(0)


def normalise(
    pixels: Array, mean: Array, factor: Array, shift: Array, active: bool, past: bool, y: Array
) -> None:
    """y <- (pixels - mean) factor + shift, past the caches or into them. y [P,C]

    active: SiLU of that, in float32.
    """
    y[...] = (pixels - mean) * factor + shift
    if active:
        y *= 1 / (1 + np.exp(-y))


def copy_rows(pixels: Array, past: bool, y: Array) -> None:
    """y <- pixels, past the caches or into them. y [P,C]"""
    y[...] = pixels


def add_to_rows(pixels: Array, shift: Array, y: Array) -> None:
    """y <- pixels + shift. y [P,C], shift [C] or [P,C]"""
    y[...] = pixels + shift


def _adding(rows: int) -> Any:
    """So many pixels at a time, step numbers apart, added to sums of n channels."""

    def add(
        typing: Any, n: Any, step: Any, middle: Any, pixel: Any, sums: Any, squares: Any
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for k, size in in_vectors(builder, args[0]):
                middle, pixel, *results = (builder.gep(start, [k]) for start in args[2:])
                around = builder.load(vector(builder, middle, size), align=4)
                places = [vector(builder, start, size) for start in results]
                total, square = (builder.load(place, align=4) for place in places)
                for row in range(rows):
                    place = builder.gep(pixel, [builder.mul(args[1], INT(row))])
                    x = builder.load(vector(builder, place, size), align=4)
                    apart = builder.fsub(x, around)
                    total = builder.fadd(total, apart)
                    square = multiply_add(builder, apart, apart, square)
                builder.store(total, places[0], align=4)
                builder.store(square, places[1], align=4)
            return context.get_dummy_value()

        return types.void(n, step, middle, pixel, sums, squares), code

    return intrinsic(add)


def _scale(builder: Any, x: Any, mean: Any, factor: Any, shift: Any) -> Any:
    return multiply_add(builder, builder.fsub(x, mean), factor, shift)


def _activate(builder: Any, x: Any, mean: Any, factor: Any, shift: Any) -> Any:
    y = _scale(builder, x, mean, factor, shift)
    return builder.fmul(y, sigma_emitted(builder, y))


def _plus(builder: Any, x: Any, shift: Any) -> Any:
    return builder.fadd(x, shift)


def _copy(builder: Any, x: Any) -> Any:
    return x


@inlined
def in_lines(y: Array) -> bool:
    """Whether each row begins with a line of caches."""
    return (y.ctypes.data | y.strides[0]) % LINE == 0


_add_one, _add_rows = _adding(1), _adding(ROWS)
_scaled, _scaled_past = rowwise(_scale), rowwise(_scale, past=True)
_activated, _activated_past = rowwise(_activate), rowwise(_activate, past=True)
_shifted = rowwise(_plus)
_copied, _copied_past = rowwise(_copy), rowwise(_copy, past=True)


@compiled_as(add_moments)
def _moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> Callable[..., None]:
    def add_moments(pixels: Any, middle: Any, sums: Any, squares: Any) -> None:
        step, C = pixels.strides[0] // pixels.itemsize, len(sums)
        row, whole = address(pixels), len(pixels) // ROWS * ROWS
        around, total, square = address(middle), address(sums), address(squares)
        for _ in range(0, whole, ROWS):
            for c in range(0, C, PART):
                n = min(PART, C - c)
                if step == C:
                    fetch(at(row, ROWS * (C + c)), ROWS * n)
                _add_rows(n, step, at(around, c), at(row, c), at(total, c), at(square, c))
            row = at(row, ROWS * step)
        for _ in range(whole, len(pixels)):
            _add_one(C, step, around, row, total, square)
            row = at(row, step)

    return add_moments


@compiled_as(normalise)
def _normalised(
    pixels: Any, mean: Any, factor: Any, shift: Any, active: Any, past: Any, y: Any
) -> Callable[..., None]:
    single = pixels.dtype == types.float32
    act, act_past = (_activated, _activated_past) if single else (_scaled, _scaled_past)

    def normalise(
        pixels: Any, mean: Any, factor: Any, shift: Any, active: Any, past: Any, y: Any
    ) -> None:
        if active and past and in_lines(y):
            act_past(pixels, y, mean, factor, shift)
        elif active:
            act(pixels, y, mean, factor, shift)
        elif past and in_lines(y):
            _scaled_past(pixels, y, mean, factor, shift)
        else:
            _scaled(pixels, y, mean, factor, shift)

    return normalise


@compiled_as(copy_rows)
def _rows_copied(pixels: Any, past: Any, y: Any) -> Callable[..., None]:
    def copy_rows(pixels: Any, past: Any, y: Any) -> None:
        if past and in_lines(y):
            _copied_past(pixels, y)
        else:
            _copied(pixels, y)

    return copy_rows


@compiled_as(add_to_rows)
def _rows_shifted(pixels: Any, shift: Any, y: Any) -> Callable[..., None]:
    def add_to_rows(pixels: Any, shift: Any, y: Any) -> None:
        _shifted(pixels, y, shift)

    return add_to_rows
