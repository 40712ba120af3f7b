"""Convolution by rows or columns of pixels, or by Winograd where that pays."""

from typing import Literal

import numpy as np

from refdiff.kernels import winograd
from refdiff.kernels.pixels import by_channel, by_pixel
from refdiff.kernels.product import linear
from refdiff.kernels.scratch import result
from refdiff.kernels.taps import Window, by_columns, by_rows
from refdiff.op import Array

Way = Literal[
    "Winograd F(4x4,3x3)",
    "pixels times filters",
    "rows times filters, tap by tap",
    "columns times filters",
]
DEEP = 32  # channels, from which a tap alone is worth a product,
LONG = 12  # for so many pixels of a row


def way(x: Array, w: Array, window: Window, groups: int) -> Way:
    """Which of them is taken. x [N,C,H,W], w [O,C/g,k,l]"""
    size, kernel = window.size, w.shape[2:]
    plain = window.stride == window.dilation == groups == 1
    if plain and kernel == (1, 1) and not any(window.corner) and size == x.shape[2:]:
        return "pixels times filters"
    single = x.dtype == w.dtype == np.float32
    if plain and kernel == (3, 3) and single and winograd.pays(size, w.shape[1], len(w)):
        return "Winograd F(4x4,3x3)"
    if single and w.shape[1] >= DEEP and size[1] >= LONG:
        return "rows times filters, tap by tap"
    return "columns times filters"


def adds(x: Array, w: Array, window: Window, groups: int, to: Array) -> bool:
    """Whether the way that is taken can add `to`: [N,O,h,v], or [N,O,1,1] to all pixels."""
    all_pixels, taken = (len(x), len(w), *window.size), way(x, w, window, groups)
    if taken == "pixels times filters":
        return to.shape == all_pixels
    return taken == "Winograd F(4x4,3x3)" and to.shape in (all_pixels, (*all_pixels[:2], 1, 1))


def convolve(
    x: Array, w: Array, b: Array | None, window: Window, groups: int, to: Array | None = None
) -> Array:
    """x [N,C,H,W], w [O,C/g,k,l], b [O] -> [N,O,h,v]

    to: what that is added to, where `adds` says so.
    """
    pixels, (O, c, _, _), size = by_pixel(x), w.shape, window.size  # noqa: E741
    more = None if to is None else by_pixel(to).reshape(len(x), -1, O)
    match way(x, w, window, groups):
        case "pixels times filters":
            y = linear(pixels.reshape(len(x), size[0] * size[1], c), w.reshape(O, c), b, more)
        case "Winograd F(4x4,3x3)":
            y = winograd.convolve(pixels, w, b, size, window.corner, more)
        case taken:
            assert to is None
            y = result((len(x), size[0] * size[1], O), np.result_type(x, w))
            by = by_rows if taken == "rows times filters, tap by tap" else by_columns
            for start in range(0, O, O // groups):
                outs = slice(start, start + O // groups)
                source = pixels[..., c * (start // (O // groups)) :][..., :c]
                by(source, w[outs], None if b is None else b[outs], window, y[..., outs])
    return by_channel(y.reshape(len(x), *size, O))


def enlarges(x: Array, w: Array, size: tuple[int, int]) -> bool:
    """Whether Winograd's way is taken for x enlarged to that size, twice its own, at padding 1."""
    H, W = x.shape[2:]
    fits = w.ndim == 4 and w.shape[1:] == (x.shape[1], 3, 3) and size == (2 * H, 2 * W)
    return fits and winograd.pays(size, w.shape[1], len(w))


def convolve_enlarged(x: Array, w: Array, b: Array | None) -> Array:
    """x [N,C,H,W], w [O,C,3,3], b [O] -> [N,O,2H,2W], where `enlarges` says so"""
    H, W = x.shape[2:]
    return by_channel(winograd.convolve(by_pixel(x), w, b, (2 * H, 2 * W), (1, 1), times=2))
