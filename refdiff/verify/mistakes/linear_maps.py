"""Mistakes of convolutions and matrix products: padding, kernels, biases, transposed weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refdiff.op import Array
from refdiff.ops.conv2d import sides
from refdiff.verify.mistakes.entry import mistake

Map = Callable[..., Array]
Bias = Array | None


def padded(x: Array, padding: Any, mode: Any = "constant") -> Array:
    """Zeros or others around the picture."""
    top, bottom, left, right = sides(padding)
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)


for op in ("conv2d", "linear"):

    @mistake(op, "no-bias", "the bias is left out")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return f(x, w, None, **options)

    @mistake(op, "bias-twice", "the bias is added twice")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return f(x, w, b if b is None else 2 * b, **options)

    @mistake(op, "bias-subtracted", "the bias is subtracted")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return f(x, w, b if b is None else -b, **options)

    @mistake(op, "transposed", "inputs and outputs of the weight are transposed")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return f(x, w.swapaxes(0, 1), b, **options)

    @mistake(op, "reread", "the weight's numbers are read in the order of its transpose")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return f(x, w.swapaxes(0, 1).reshape(w.shape), b, **options)

    @mistake(op, "left-out", "the layer is left out")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return x

    @mistake(op, "doubled", "the result is doubled")
    def _(f: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
        return 2 * f(x, w, b, **options)


@mistake("conv2d", "padded-both-sides", "zeros on both sides instead of below and on the right")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    return conv(x, w, b, padding=1 if padding == (0, 1, 0, 1) else padding, **o)


@mistake("conv2d", "padded-above", "zeros above and on the left instead of below and on the right")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    return conv(x, w, b, padding=(1, 0, 1, 0) if padding == (0, 1, 0, 1) else padding, **o)


@mistake("conv2d", "padded-below", "zeros below and on the right only, before a stride of 2")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    return conv(x, w, b, padding=(0, 1, 0, 1) if o.get("stride") == 2 else padding, **o)


for mode in ("reflect", "edge", "wrap"):

    @mistake("conv2d", f"padded-{mode}", f"the padding is {mode}, not zeros")
    def _(
        conv: Map,
        x: Array,
        w: Array,
        b: Bias = None,
        *,
        padding: Any = 0,
        _mode: Any = mode,
        **o: Any,
    ) -> Array:
        return conv(padded(x, padding, _mode), w, b, **o)


@mistake("conv2d", "flipped", "the kernel is flipped: a true convolution")
def _(conv: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
    return conv(x, w[..., ::-1, ::-1], b, **options)


@mistake("conv2d", "kernel-turned", "height and width of the kernel are swapped")
def _(conv: Map, x: Array, w: Array, b: Bias = None, **options: Any) -> Array:
    return conv(x, w.swapaxes(2, 3), b, **options)


@mistake("conv2d", "dilated", "the kernel is dilated by 2")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    return conv(x, w, b, padding=w.shape[-1] - 1, **{**o, "dilation": 2})


@mistake("conv2d", "shifted", "the stride starts at the second pixel")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    if o.get("stride", 1) == 1:
        return conv(x, w, b, padding=padding, **o)
    shifted = np.roll(padded(x, padding), (-1, -1), (2, 3))
    return conv(shifted, w, b, **o)


@mistake("conv2d", "whole-then-halved", "every second pixel of the mean of four, after the kernel")
def _(conv: Map, x: Array, w: Array, b: Bias = None, *, padding: Any = 0, **o: Any) -> Array:
    if o.get("stride", 1) != 2:
        return conv(x, w, b, padding=padding, **o)
    y = conv(x, w, b, padding=1, **{**o, "stride": 1})
    H, W = y.shape[2] // 2 * 2, y.shape[3] // 2 * 2
    return y[:, :, :H, :W].reshape(*y.shape[:2], H // 2, 2, W // 2, 2).mean((3, 5))
