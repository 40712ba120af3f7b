"""The affine map of the last axis: y = x Wᵀ + b."""

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
    y = x @ w.T
    return y if b is None else y + b


@linear.kernel
def _(x: Array, w: Array, b: Array | None = None) -> Array:
    """One matrix product over all leading axes at once, the bias added in place.

    Both faces sum the same I products and a bias, in different orders (Higham 2002, §3.1).
    Bound: 2 * γ(w[0].size + 2) * linear(abs(x), abs(w), maybe(abs, b))
    """
    if x.shape[-1:] != w.shape[1:]:
        raise ShapeError(f"linear: x {x.shape} has not the width of w {w.shape}")
    y: Array = x.reshape(-1, x.shape[-1]) @ w.T
    if b is not None:
        y += b
    return y.reshape(*x.shape[:-1], len(w))
