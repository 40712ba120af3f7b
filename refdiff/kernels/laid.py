"""How arrays lie in memory, asked in compiled code, and results made there.

An op of some microseconds is one compiled call: else the interpreter would take much of its time
to look at strides and to make an array.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from refdiff.kernels.jit import inlined
from refdiff.kernels.panels import INT, PLACE
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.scratch import LINE
from refdiff.op import Array


@inlined
def in_order(x: Array) -> bool:
    """Whether the numbers of x fill memory, the last axis innermost."""
    step = x.itemsize
    for axis in range(x.ndim - 1, -1, -1):
        if x.shape[axis] != 1 and x.strides[axis] != step:
            return x.size == 0
        step *= x.shape[axis]
    return True


@inlined
def in_pixels(x: Array) -> bool:
    """Whether the numbers of x [N,C,*] fill memory, the channels of a pixel side by side."""
    step, last = x.itemsize, x.ndim - 1
    for i in range(x.ndim):
        axis = min(1, last) if i == 0 else (0 if i == last else x.ndim - i)
        if x.shape[axis] != 1 and x.strides[axis] != step:
            return x.size == 0
        step *= x.shape[axis]
    return True


@inlined
def alike(x: Array, y: Array) -> bool:
    """Whether x and y, of one shape, fill memory in the same order."""
    return (in_order(x) and in_order(y)) or (in_pixels(x) and in_pixels(y))


def like(x: Array) -> Array:
    """An array of any content, laid down as x is, which has no gaps."""
    return np.empty_like(x)


def with_channels(x: Array, channels: int) -> Array:
    """An array of any content with so many channels, laid down in pixels. x [N,C,*] -> [N,D,*]"""
    return np.moveaxis(np.empty((len(x), *x.shape[2:], channels), x.dtype), -1, 1)


def numbers(x: Array) -> Array:
    """The numbers of x in the order of memory, without a copy. x [*] -> [n]"""
    return x.ravel("K")


def pixels(x: Array) -> Array:
    """The same pixels in a row, without a copy. x [N,C,*], laid down in pixels -> [N,P,C]"""
    return np.moveaxis(x, 1, -1).reshape(len(x), math.prod(x.shape[2:]), x.shape[1])


def in_a_row(x: Array) -> Array:
    """The same pixels in a row, without a copy. x [N,*,C], in order -> [N,P,C]"""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])


Layout = Callable[[Any, Any, list[Any]], tuple[Sequence[Any], Sequence[Any]]]


def _placed(axes: int | None, order: Any, place: Layout, new: bool) -> Any:
    """f(x, *numbers): an array of so many axes, of x's memory or of its own.

    place(builder, x, numbers) gives its shape and its strides. axes, order: None for those of x.
    """

    def array(typing: Any, x: Any, *numbers: Any) -> Any:
        kind = types.Array(x.dtype, axes or x.ndim, order or x.layout)

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            given = cgutils.create_struct_proxy(x)(context, builder, args[0])
            more = cgutils.unpack_tuple(builder, args[1])
            shape, strides = place(builder, given, more)
            owner, data = None, given.data
            if new:
                size = reduce(builder.mul, shape, given.itemsize)
                owner = context.nrt.meminfo_alloc_aligned(builder, size, PLACE(LINE))
                data = builder.bitcast(context.nrt.meminfo_data(builder, owner), data.type)
            made = cgutils.create_struct_proxy(kind)(context, builder)
            populate_array(made, data, list(shape), list(strides), given.itemsize, owner)
            return made._getvalue()

        return kind(x, types.Tuple.from_types(numbers)), code

    return intrinsic(array)


def _of(builder: Any, x: Any) -> tuple[list[Any], list[Any]]:
    return cgutils.unpack_tuple(builder, x.shape), cgutils.unpack_tuple(builder, x.strides)


def _as_it_is(builder: Any, x: Any, numbers: list[Any]) -> Any:
    return _of(builder, x)


def _with(builder: Any, x: Any, numbers: list[Any]) -> Any:
    shape, _ = _of(builder, x)
    shape[1] = numbers[0]
    strides, step = [x.itemsize] * len(shape), x.itemsize
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        strides[axis], step = step, builder.mul(step, shape[axis])
    return shape, strides


def _in_a_row(builder: Any, x: Any, numbers: list[Any]) -> Any:
    return [x.nitems], [x.itemsize]


def _in_pixels(builder: Any, x: Any, numbers: list[Any]) -> Any:
    (N, C, *others), _ = _of(builder, x)
    return _row(builder, x, N, others, C)


def _in_order(builder: Any, x: Any, numbers: list[Any]) -> Any:
    (N, *others, C), _ = _of(builder, x)
    return _row(builder, x, N, others, C)


def _row(builder: Any, x: Any, N: Any, others: list[Any], C: Any) -> Any:
    P: Any = reduce(builder.mul, others, INT(1))
    pixel = builder.mul(C, x.itemsize)
    return [N, P, C], [builder.mul(P, pixel), pixel, x.itemsize]


_like, _wider = _placed(None, None, _as_it_is, True), _placed(None, "A", _with, True)
_numbers, _pixels = _placed(1, "C", _in_a_row, False), _placed(3, "C", _in_pixels, False)
_row_of = _placed(3, "C", _in_order, False)
compiled_as(like)(lambda x: lambda x: _like(x))
compiled_as(with_channels)(lambda x, channels: lambda x, channels: _wider(x, channels))
compiled_as(numbers)(lambda x: lambda x: _numbers(x))
compiled_as(pixels)(lambda x: lambda x: _pixels(x))
compiled_as(in_a_row)(lambda x: lambda x: _row_of(x))
