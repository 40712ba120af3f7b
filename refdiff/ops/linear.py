"""The affine map of the last axis: y = x Wᵀ + b."""

from refdiff import kernels
from refdiff.errors import ShapeError
from refdiff.op import Array, op


@op
def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """y = x Wᵀ + b.

    x [*,I], w [O,I], b [O] -> [*,O]
    Raises ShapeError where the widths differ.
    """
    if x.shape[-1:] != w.shape[1:]:
        raise ShapeError(f"linear: x {x.shape} has not the width of w {w.shape}")
    rows = x if x.ndim > 2 else x[..., None, :]  # so that no sample meets another in a product
    y = (rows @ w.T).reshape(*x.shape[:-1], len(w))
    return y if b is None else y + b


@linear.kernel
def _(x: Array, w: Array, b: Array | None = None) -> Array:
    """Matrix products of some rows and columns each; in float32 sums begin with the bias.

    Both faces sum the same I products and a bias, in different orders (Higham 2002, §3.1).
    Bound: 2 * γ(w[0].size + 2) * linear(abs(x), abs(w), maybe(abs, b))
    """
    if x.shape[-1:] != w.shape[1:]:
        raise ShapeError(f"linear: x {x.shape} has not the width of w {w.shape}")
    return kernels.product.linear(x, w, b)


@linear.choice
def _(x: Array, w: Array, b: Array | None = None) -> str:
    return kernels.product.way(x, w)
