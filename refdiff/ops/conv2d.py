"""Two-dimensional convolution (cross-correlation, as every framework means it).

y[n,o,i,j] = b[o] + sum_{c,u,v} w[o,c,u,v] x[n,c, s i + d u - top, s j + d v - left]
"""

import numpy as np

from refdiff.errors import ShapeError
from refdiff.op import Array, op

Padding = int | tuple[int, int, int, int]


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
    x = pad(x, padding)
    h, v = output_size(x, w, stride, dilation, groups)
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
    """Columns copied once, then one matrix product a group.

    Both faces sum the same C/g k l products and a bias in different orders (Higham 2002, §3.1).
    Bound: 2 * γ(w[0].size + 2) * conv2d(abs(x), abs(w), maybe(abs, b), **options)
    """
    from refdiff.kernels.conv2d import convolve

    x = pad(x, padding)
    size = output_size(x, w, stride, dilation, groups)
    return convolve(x, w, b, size, stride, dilation, groups)


def pad(x: Array, padding: Padding) -> Array:
    """Zeros around the picture: x [N,C,H,W] -> [N,C,top+H+bottom,left+W+right]."""
    top, bottom, left, right = (padding,) * 4 if isinstance(padding, int) else padding
    if not any((top, bottom, left, right)):
        return x
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


def output_size(x: Array, w: Array, stride: int, dilation: int, groups: int) -> tuple[int, int]:
    """(H', W') of a padded picture; raises ShapeError where x and w do not fit each other."""
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(
            f"conv2d: expected x [N,C,H,W] and w [O,C/g,k,l], got {x.shape}, {w.shape}"
        )
    if x.shape[1] != groups * w.shape[1] or w.shape[0] % groups:
        raise ShapeError(
            f"conv2d: x {x.shape} has not the channels of w {w.shape} x {groups} groups"
        )
    h, v = (
        (n - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(x.shape[2:], w.shape[2:], strict=True)
    )
    if h < 1 or v < 1:
        raise ShapeError(
            f"conv2d: the kernel {w.shape} is larger than the padded picture {x.shape}"
        )
    return h, v
