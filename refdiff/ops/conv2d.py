"""Two-dimensional convolution (cross-correlation, as every framework means it).

y[n,o,i,j] = b[o] + sum_{c,u,v} w[o,c,u,v] x[n,c, s i + d u - top, s j + d v - left]
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op

if TYPE_CHECKING:
    from refdiff.kernels.taps import Window

Padding = int | tuple[int, int, int, int]
Shape = tuple[int, ...]


@op
def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Convolve x with w: one matrix product for each tap of the kernel.

    x [N,C,H,W], w [O,C/g,k,l], b [O] -> [N,O,H',W']
    padding: zeros on all sides, or (top, bottom, left, right). g groups of channels do not mix.
    Raises ShapeError where the channels do not fit or the kernel is larger than the padded picture.
    """
    h, v = output_size(x.shape, w.shape, padding, stride, dilation, groups)
    x = np.ascontiguousarray(x)  # np.pad lays down one sample otherwise than two, where it may
    x = np.pad(x, ((0, 0), (0, 0), sides(padding)[:2], sides(padding)[2:]))
    N = len(x)
    O, c, k, l = w.shape  # noqa: E741
    x = x.reshape(N, groups, c, *x.shape[2:])
    w = w.reshape(groups, O // groups, c, k, l)
    y = np.zeros((N, groups, O // groups, h * v), np.result_type(x, w))
    for i, j in np.ndindex(k, l):
        rows = slice(i * dilation, i * dilation + stride * h, stride)
        columns = slice(j * dilation, j * dilation + stride * v, stride)
        y += w[..., i, j] @ x[..., rows, columns].reshape(N, groups, c, h * v)
    y = y.reshape(N, O, h, v)
    return y if b is None else y + b[:, None, None]


@conv2d.kernel
def _(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Products of pixels, of rows tap by tap or of columns; or Winograd's fewer products.

    Both faces sum the same C/g k l products and a bias in different orders (Higham 2002, §3.1).
    What Winograd's way rounds is relative to what it adds up, the `reach` of kernels/points.py,
    and is 0 where it is not taken.
    Bound: 2 * γ(w[0].size + 2) * conv2d(abs(x), abs(w), maybe(abs, b), **options)
        + γ(w.shape[1] + 40) * reach(x, w, **options)
    """
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    return kernels.conv2d.convolve(x, w, b, *window(x, w, padding=padding, **options))


@conv2d.choice
def _(x: Array, w: Array, b: Array | None = None, **options: Any) -> str:
    return kernels.conv2d.way(x, w, *window(x, w, **options))


def window(
    x: Array,
    w: Array,
    *,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple["Window", int]:
    """Where the taps meet the picture, and the groups, as the kernel takes them."""
    size = output_size(x.shape, w.shape, padding, stride, dilation, groups)
    top, _, left, _ = sides(padding)
    return kernels.taps.Window(size, stride, (top, left), dilation), groups


def sides(padding: Padding) -> tuple[int, int, int, int]:
    """(top, bottom, left, right)"""
    return (padding,) * 4 if isinstance(padding, int) else padding


def output_size(
    x: Shape, w: Shape, padding: Padding, stride: int, dilation: int, groups: int
) -> tuple[int, int]:
    """(H', W'); raises ShapeError where shapes x and w do not fit each other."""
    if len(x) != 4 or len(w) != 4:
        raise ShapeError(f"conv2d: expected x [N,C,H,W] and w [O,C/g,k,l], got {x}, {w}")
    if x[1] != groups * w[1] or w[0] % groups:
        raise ShapeError(f"conv2d: x {x} has not the channels of w {w} x {groups} groups")
    top, bottom, left, right = sides(padding)
    H, W = x[2] + top + bottom, x[3] + left + right
    h, v = ((n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((H, W), w[2:], strict=True))
    if h < 1 or v < 1:
        raise ShapeError(f"conv2d: the kernel {w} is larger than the padded picture {H} x {W}")
    return h, v
