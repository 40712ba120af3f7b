"""Ops one after another, in one pass over memory where nobody looks at what is between.

What comes out has the same bits as of the ops. They are called one by one wherever something stands
around ops (`op.around`: a ledger, strips, bounds, mistakes), in the reference engine, and for other
dtypes than float32; and no op is fused whose result a trace records.
"""

from typing import Any

import numpy as np

from refdiff import kernels
from refdiff.op import Array, current_engine, watched
from refdiff.ops.activations import geglu, silu
from refdiff.ops.add import add
from refdiff.ops.conv2d import conv2d, window
from refdiff.ops.group_norm import check, group_norm
from refdiff.ops.layout import checked, upsample_nearest
from refdiff.ops.linear import linear

UNWATCHED = (
    "ops are computed one by one to be looked at; unwatched, the fast engine makes one pass, with "
    "the same bits, of a norm and its SiLU, a convolution or linear layer and what it is added to, "
    "a linear layer and GEGLU of it, enlarging and the convolution after it"
)


def together(*arrays: Array | None) -> bool:
    """Whether ops on such arrays may be computed in one pass."""
    single = all(a is None or a.dtype == np.float32 for a in arrays)
    return single and current_engine().name == "fast" and not watched()


def plus(y: Array, to: Array) -> Array:
    """The sum, in the order of its parts: what is carried on, then what is added to it.

    y is a branch added to a picture or to tokens of its own shape, or is one that a number of each
    channel is added to.
    """
    return add(to, y) if to.shape == y.shape else add(y, to)


def silu_of_group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    """silu(group_norm(x)). x [N,C,*], gamma, beta [C] -> [N,C,*]

    Raises ShapeError where the groups do not divide the channels.
    """
    if not together(x, gamma, beta):
        return silu(group_norm(x, gamma, beta, groups=groups, eps=eps))
    check(x, gamma, groups)
    return kernels.norm.group_norm(x, gamma, beta, groups, eps, active=True)


def linear_plus(x: Array, w: Array, b: Array | None, to: Array) -> Array:
    """linear(x) + to, each sum made where its products are. x [*,I], w [O,I], b [O], to [*,O]

    -> [*,O]. Raises ShapeError where the widths differ.
    """
    fit = x.shape[-1:] == w.shape[1:] and to.shape == (*x.shape[:-1], len(w))
    if not fit or not together(x, w, b, to):
        return plus(linear(x, w, b), to)
    return kernels.product.linear(x, w, b, to)


def geglu_of_linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """geglu(linear(x)): what is twice as wide is never there. x [*,I], w [2D,I], b [2D] -> [*,D]

    Raises ShapeError where the widths differ, or that of the linear layer is odd.
    """
    fit = x.shape[-1:] == w.shape[1:] and len(w) % 2 == 0
    if fit and together(x, w, b) and kernels.product.way(x, w) != "row by row":
        return kernels.gated.geglu_of_linear(x, w, b)
    return geglu(linear(x, w, b))


def conv2d_plus(x: Array, w: Array, b: Array | None, to: Array, **options: Any) -> Array:
    """conv2d(x) + to, each sum made where its products are.

    x [N,C,H,W], w [O,C/g,k,l], b [O], to [N,O,H',W'] or [N,O,1,1] -> [N,O,H',W']
    Raises ShapeError as conv2d does.
    """
    if together(x, w, b, to):
        taps = window(x, w, **options)
        if kernels.conv2d.adds(x, w, *taps, to):
            return kernels.conv2d.convolve(x, w, b, *taps, to)
    return plus(conv2d(x, w, b, **options), to)


def conv2d_of_enlarged(
    x: Array, w: Array, b: Array | None = None, *, size: tuple[int, int] | None = None
) -> Array:
    """conv2d(upsample_nearest(x), padding=1): the enlarged picture is never there.

    x [N,C,H,W], w [O,C,3,3], b [O] -> [N,O,2H,2W], or of `size`
    Raises ShapeError as the two ops do.
    """
    if together(x, w, b) and kernels.conv2d.enlarges(x, w, checked(x, size)):
        return kernels.conv2d.convolve_enlarged(x, w, b)
    return conv2d(upsample_nearest(x, size=size), w, b, padding=1)
